//! Fuels and how they swell. The constants are those of ASTM D1250-80, table 54B.

use model::ProductCode;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fuel {
    Petrol,
    Diesel,
    Kerosene,
}

impl Fuel {
    pub const ALL: [Self; 3] = [Self::Petrol, Self::Diesel, Self::Kerosene];

    /// Tenths of kg/m³ at 15 °C.
    pub(crate) fn density_15_e1(self) -> u32 {
        match self {
            Self::Petrol => 7450,
            Self::Diesel => 8400,
            Self::Kerosene => 8000,
        }
    }

    /// The code that the simulated network uses.
    ///
    /// # Panics
    /// Never: the codes are constants that are valid identifiers.
    #[must_use]
    pub fn product(self) -> ProductCode {
        let code = match self {
            Self::Petrol => "AI-95",
            Self::Diesel => "DIESEL",
            Self::Kerosene => "KEROSENE",
        };
        ProductCode::new(code).expect("constant codes are valid")
    }

    /// Litres at 15 °C in one litre at this temperature.
    pub(crate) fn litres_15_per_litre(self, celsius: f64) -> f64 {
        let density = f64::from(self.density_15_e1()) / 10.0;
        let expansion = match self {
            Self::Petrol => 346.4228 / (density * density) + 0.4388 / density,
            Self::Diesel => 186.9696 / (density * density) + 0.4862 / density,
            Self::Kerosene => 594.5418 / (density * density),
        };
        let swelling = expansion * (celsius - 15.0);
        (-swelling - 0.8 * swelling * swelling).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuels_swell_as_the_published_vectors_say() {
        for (fuel, cold, warm) in
            [(Fuel::Petrol, 1.04187, 0.98171), (Fuel::Kerosene, 1.03218, 0.98601), (Fuel::Diesel, 1.02925, 0.98730)]
        {
            assert!((fuel.litres_15_per_litre(-20.0) - cold).abs() < 0.000_005, "{fuel:?}");
            assert!((fuel.litres_15_per_litre(30.0) - warm).abs() < 0.000_005, "{fuel:?}");
        }
    }
}
