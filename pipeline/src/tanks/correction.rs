//! Volumes brought to 15 °C: ASTM D1250-80 tables 54A, 54B and 54C for liquid fuels, MPMS 11.2.4 (GPA TP-27) table 54E for LPG.
//!
//! In: density at 15 °C, temperature. Out: the factor, volumes at 15 °C, density at 15 °C from an observed one.
//! Guarantees: `None` outside the range of a table, never a guess. Does not: correct for pressure, and is **not for custody
//! transfer**: the factor is neither rounded nor stepped as a legal metrologist would.

use model::{CentiCelsius, Density, Millilitres, Millilitres15, VolumeGroup};

/// How a product's volume follows its temperature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Correction {
    group: VolumeGroup,
    /// kg/m³.
    density_15: f64,
}

impl Correction {
    /// `None` when the group has no factor for such a density.
    #[must_use]
    pub fn new(group: VolumeGroup, density_15: Density) -> Option<Self> {
        let correction = Self { group, density_15: kg_per_m3(density_15) };
        factor(group, correction.density_15, 15.0).map(|_| correction)
    }

    /// `V15 / V` at a temperature.
    #[must_use]
    pub fn factor(&self, temperature: CentiCelsius) -> Option<f64> {
        factor(self.group, self.density_15, celsius(temperature))
    }

    #[must_use]
    pub fn volume_15(&self, volume: Millilitres, temperature: CentiCelsius) -> Option<Millilitres15> {
        let ml = (volume.get() as f64 * self.factor(temperature)?).round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "both factors are positive, a tank small"
        )]
        Millilitres15::new(ml as u64).ok()
    }
}

/// Density at 15 °C of a product that was measured at another temperature. `glass` when a glass hydrometer was read.
#[must_use]
pub fn density_at_15(group: VolumeGroup, observed: Density, temperature: CentiCelsius, glass: bool) -> Option<Density> {
    let t = celsius(temperature);
    let read = kg_per_m3(observed) * if glass { hydrometer(t) } else { 1.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a density in the range of a table")]
    density_15(group, read, t).map(|kg| Density((kg * 10.0).round() as u32))
}

fn kg_per_m3(density: Density) -> f64 {
    f64::from(density.0) / 10.0
}

fn celsius(temperature: CentiCelsius) -> f64 {
    f64::from(temperature.0) / 100.0
}

/// Glass shrinks and grows too.
fn hydrometer(t: f64) -> f64 {
    let delta = t - 15.0;
    1.0 - 0.000_023 * delta - 2e-8 * delta * delta
}

fn factor(group: VolumeGroup, density_15: f64, t: f64) -> Option<f64> {
    if group == VolumeGroup::Lpg {
        return lpg::factor(density_15, t);
    }
    if !(-50.0..=150.0).contains(&t) {
        return None;
    }
    let alpha = expansion(group, density_15)?;
    let delta = t - 15.0;
    Some((-alpha * delta * (1.0 + 0.8 * alpha * delta)).exp())
}

/// Above which density a group of table 54B begins, kg/m³. Editions differ by half a kilogram.
const GASOLINE_FROM: f64 = 653.0;
const TRANSITION_FROM: f64 = 770.5;
const KEROSENE_FROM: f64 = 787.5;
const FUEL_OIL_FROM: f64 = 839.0;
const FUEL_OIL_TO: f64 = 1_075.0;

/// Thermal expansion at 15 °C per kelvin.
fn expansion(group: VolumeGroup, density: f64) -> Option<f64> {
    if let VolumeGroup::Coefficient(e6) = group {
        return Some(f64::from(e6) * 1e-6);
    }
    if !(GASOLINE_FROM..=FUEL_OIL_TO).contains(&density) {
        return None;
    }
    let of = |k0: f64, k1: f64| Some(k0 / (density * density) + k1 / density);
    match group {
        VolumeGroup::Products => expansion(group_of(density), density),
        VolumeGroup::Gasoline => of(346.4228, 0.4388),
        VolumeGroup::Transition => Some(-0.003_363_12 + 2_680.320_6 / (density * density)),
        VolumeGroup::Kerosene => of(594.5418, 0.0),
        VolumeGroup::FuelOil => of(186.9696, 0.4862),
        VolumeGroup::Crude => of(613.9723, 0.0),
        VolumeGroup::Coefficient(_) | VolumeGroup::Lpg => None,
    }
}

fn group_of(density: f64) -> VolumeGroup {
    if density < TRANSITION_FROM {
        VolumeGroup::Gasoline
    } else if density < KEROSENE_FROM {
        VolumeGroup::Transition
    } else if density < FUEL_OIL_FROM {
        VolumeGroup::Kerosene
    } else {
        VolumeGroup::FuelOil
    }
}

/// The density at 15 °C that gives `observed` at `t`. Found by halving: the factor jumps where groups meet, and a fixed
/// point iteration would hop over the jump for ever.
fn density_15(group: VolumeGroup, observed: f64, t: f64) -> Option<f64> {
    let (from, to) = if group == VolumeGroup::Lpg { lpg::DENSITY } else { (GASOLINE_FROM, FUEL_OIL_TO) };
    halve(from, to, |density| Some(density * factor(group, density, t)? - observed))
}

/// Where a rising function crosses zero; `None` when it does not.
fn halve(mut low: f64, mut high: f64, f: impl Fn(f64) -> Option<f64>) -> Option<f64> {
    if f(low)? > 0.0 || f(high)? < 0.0 {
        return None;
    }
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if f(middle)? < 0.0 { low = middle } else { high = middle }
    }
    Some(f64::midpoint(low, high))
}

/// Table 54E by way of 24E: reference fluids, corresponding states.
mod lpg {
    /// Density of water at 60 °F, kg/m³.
    const WATER: f64 = 999.016;
    /// Densities at 15 °C that are tried, kg/m³: relative densities 0.35 to 0.688 at 60 °F.
    pub(super) const DENSITY: (f64, f64) = (351.5, 687.5);

    struct Fluid {
        /// Relative density at 60 °F.
        gamma: f64,
        /// Critical temperature, K.
        tc: f64,
        zc: f64,
        /// Critical density, kmol/m³.
        rhoc: f64,
        k: [f64; 4],
    }

    impl Fluid {
        const fn new(gamma: f64, tc: f64, zc: f64, rhoc: f64, k: [f64; 4]) -> Self {
            Self { gamma, tc, zc, rhoc, k }
        }

        /// Density of the saturated liquid at a reduced temperature.
        fn saturated(&self, reduced: f64) -> f64 {
            let tau = 1.0 - reduced;
            let [k1, k2, k3, k4] = self.k;
            let above = k1 * tau.powf(0.35) + k3 * tau * tau + k4 * tau.powi(3);
            self.rhoc * (1.0 + above / (1.0 + k2 * tau.powf(0.65)))
        }
    }

    const FLUIDS: [Fluid; 12] = [
        Fluid::new(
            0.325_022,
            298.11,
            0.279_98,
            6.250,
            [2.546_168_553_27, -0.058_244_177_754, 0.803_398_090_807, -0.745_720_314_137],
        ),
        Fluid::new(
            0.355_994,
            305.33,
            0.282_20,
            6.870,
            [1.891_130_426_10, -0.370_305_782_347, -0.544_867_288_720, 0.337_876_634_952],
        ),
        Fluid::new(
            0.429_277,
            333.67,
            0.280_60,
            5.615,
            [2.209_700_784_64, -0.294_253_708_172, -0.405_754_420_098, 0.319_443_433_421],
        ),
        Fluid::new(
            0.470_381,
            352.46,
            0.279_30,
            5.110,
            [2.253_419_813_20, -0.266_542_138_024, -0.372_756_711_655, 0.384_734_185_665],
        ),
        Fluid::new(
            0.507_025,
            369.78,
            0.276_26,
            5.000,
            [1.965_683_669_33, -0.327_662_435_541, -0.417_979_702_538, 0.303_271_602_831],
        ),
        Fluid::new(
            0.562_827,
            407.85,
            0.283_26,
            3.860,
            [2.047_484_344_10, -0.289_734_363_425, -0.330_345_036_434, 0.291_757_103_132],
        ),
        Fluid::new(
            0.584_127,
            425.16,
            0.275_36,
            3.920,
            [2.037_347_431_18, -0.299_059_145_695, -0.418_883_095_671, 0.380_367_738_748],
        ),
        Fluid::new(
            0.624_285,
            460.44,
            0.270_26,
            3.247,
            [2.065_416_407_07, -0.238_366_208_840, -0.161_440_492_247, 0.258_681_568_613],
        ),
        Fluid::new(
            0.631_054,
            469.65,
            0.272_35,
            3.200,
            [2.112_634_744_94, -0.261_269_413_560, -0.291_923_445_075, 0.308_344_290_017],
        ),
        Fluid::new(
            0.657_167,
            498.05,
            0.267_06,
            2.727,
            [2.023_821_978_71, -0.423_550_090_067, -1.152_810_982_570, 0.950_139_001_678],
        ),
        Fluid::new(
            0.664_064,
            507.35,
            0.267_62,
            2.704,
            [2.171_345_477_73, -0.232_997_313_405, -0.267_019_794_036, 0.378_629_524_102],
        ),
        Fluid::new(
            0.688_039,
            540.15,
            0.263_12,
            2.315,
            [2.197_735_334_33, -0.275_056_764_147, -0.447_144_095_029, 0.493_770_995_799],
        ),
    ];

    /// 15 °C and 60 °F in kelvin.
    const K_15C: f64 = 288.15;
    const K_60F: f64 = (60.0 + 459.67) / 1.8;

    pub(super) fn factor(density_15: f64, t: f64) -> Option<f64> {
        if !(-46.0..=93.0).contains(&t) {
            return None;
        }
        let gamma = relative_density(density_15)?;
        Some(factor_60(gamma, t + 273.15)? / factor_60(gamma, K_15C)?)
    }

    /// At 60 °F, from the density at 15 °C.
    pub(super) fn relative_density(density_15: f64) -> Option<f64> {
        super::halve(0.35, 0.688, |gamma| Some(gamma * factor_60(gamma, K_15C)? * WATER - density_15))
    }

    /// Volume at 60 °F by volume at a temperature in kelvin.
    fn factor_60(gamma: f64, kelvin: f64) -> Option<f64> {
        let above = FLUIDS.iter().position(|fluid| fluid.gamma >= gamma)?.max(1);
        let (one, two) = (&FLUIDS[above - 1], &FLUIDS[above]);
        let delta = (gamma - one.gamma) / (two.gamma - one.gamma);
        let tc = one.tc + delta * (two.tc - one.tc);
        if kelvin >= tc {
            return None;
        }
        let h2 = one.zc * one.rhoc / (two.zc * two.rhoc);
        let mixed = |kelvin: f64| {
            let (first, second) = (one.saturated(kelvin / tc), two.saturated(kelvin / tc));
            first / (1.0 + delta * (first / (h2 * second) - 1.0))
        };
        Some(mixed(kelvin) / mixed(K_60F))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn line(group: VolumeGroup, density: f64, temperatures: &[f64]) -> String {
        let factors = temperatures.iter().map(|t| format!("{:.5}", factor(group, density, *t).unwrap()));
        factors.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn liquid_fuels_follow_table_54b() {
        let of = |density: f64| {
            let alpha = expansion(VolumeGroup::Products, density).unwrap() * 1e6;
            format!(
                "{density} {alpha:.3} {}\n",
                line(VolumeGroup::Products, density, &[-20.0, 0.0, 10.0, 20.0, 30.0, 40.0])
            )
        };
        expect![[r#"
            745 1213.150 1.04187 1.01809 1.00605 0.99392 0.98171 0.96941
            780 1042.404 1.03605 1.01556 1.00520 0.99478 0.98429 0.97375
            800 928.972 1.03218 1.01387 1.00464 0.99535 0.98601 0.97662
            835 852.726 1.02956 1.01274 1.00426 0.99573 0.98716 0.97855
            840 843.789 1.02925 1.01261 1.00421 0.99578 0.98730 0.97878
        "#]]
        .assert_eq(&[745.0, 780.0, 800.0, 835.0, 840.0].map(of).concat());
    }

    #[test]
    fn an_observed_density_is_brought_to_15_degrees() {
        let of = |observed, t| format!("{:.3}", density_15(VolumeGroup::Products, observed, t).unwrap());
        assert_eq!([of(835.0, 28.0), of(840.0, -10.0), of(735.0, 30.0)], ["844.229", "822.044", "748.594"]);
        let typed = density_at_15(VolumeGroup::Products, Density(8_350), CentiCelsius(2_800), false);
        assert_eq!(typed, Some(Density(8_442)));
        let glass = density_at_15(VolumeGroup::Products, Density(8_350), CentiCelsius(2_800), true);
        assert_eq!(glass, Some(Density(8_440)));
    }

    #[test]
    fn lpg_follows_table_54e() {
        let of = |density: f64| {
            let gamma = lpg::relative_density(density).unwrap();
            let factors = line(VolumeGroup::Lpg, density, &[-30.0, -20.0, 0.0, 10.0, 20.0, 30.0, 40.0]);
            format!("{density} {gamma:.5} {factors}\n")
        };
        expect![[r#"
            507.5 0.50718 1.11699 1.09289 1.04172 1.01429 0.98528 0.95432 0.92092
            540 0.53981 1.09920 1.07840 1.03484 1.01185 0.98788 0.96272 0.93614
            585 0.58496 1.08099 1.06369 1.02799 1.00947 0.99039 0.97066 0.95019
        "#]]
        .assert_eq(&[507.5, 540.0, 585.0].map(of).concat());
    }

    #[test]
    fn outside_its_table_a_product_has_no_factor() {
        assert!(Correction::new(VolumeGroup::Products, Density(6_000)).is_none());
        assert!(Correction::new(VolumeGroup::Lpg, Density(8_400)).is_none());
        let diesel = Correction::new(VolumeGroup::Products, Density(8_400)).unwrap();
        assert_eq!(diesel.factor(CentiCelsius(20_000)), None);
        assert_eq!(
            diesel.volume_15(Millilitres::from_litres(10_000), CentiCelsius(2_500)).map(Millilitres15::get),
            Some(9_915_504)
        );
    }
}
