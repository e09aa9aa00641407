//! Strapping tables: how much fuel stands under a height.
//!
//! In: a registered table. Out: volume by height and height by volume. Guarantees: both rise strictly and are inverse to
//! each other up to the step of the table; a height beyond the table gives its end, and says so. Does not: know water or
//! temperature.

use model::{Chart, ChartPoint, DatedChart, DeciMillimetres, Millilitres, TimestampUs};

/// Points of one table: a cylinder gets one for each millimetre, up to this many.
const POINTS_MAX: usize = 10_000;

/// Why a table cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChartError {
    #[error("a strapping table needs two points at least and {POINTS_MAX} at most, not {0}")]
    Points(usize),
    #[error("heights and volumes rise from point to point; point {0} does not")]
    NotRising(usize),
    #[error("a cylinder needs a diameter and a length")]
    NoSize,
    #[error("a slope of {0} ten-thousandths is no tank's: at most 1000 either way")]
    Slope(i32),
}

/// What a table says about a height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    pub volume_ml: Millilitres,
    /// The height lies beyond the table: the true volume may be another.
    pub clamped: bool,
}

/// A table by rising height and volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strapping {
    points: Vec<ChartPoint>,
    offset_dmm: i32,
}

impl Strapping {
    pub fn new(chart: &Chart, offset_dmm: i32) -> Result<Self, ChartError> {
        let points = match chart {
            Chart::Points(points) => points.clone(),
            Chart::HorizontalCylinder { diameter_dmm, length_dmm, tilt_e4, probe_dmm } => {
                Cylinder::new(*diameter_dmm, *length_dmm, *tilt_e4, *probe_dmm)?.points()
            }
        };
        if !(2..=POINTS_MAX).contains(&points.len()) {
            return Err(ChartError::Points(points.len()));
        }
        let rises =
            |pair: &[ChartPoint]| pair[0].height_dmm < pair[1].height_dmm && pair[0].volume_ml < pair[1].volume_ml;
        match points.windows(2).position(|pair| !rises(pair)) {
            Some(place) => Err(ChartError::NotRising(place + 1)),
            None => Ok(Self { points, offset_dmm }),
        }
    }

    /// The volume under a height as the gauge gives it.
    #[must_use]
    pub fn volume(&self, height: DeciMillimetres) -> Volume {
        let height = i64::from(height.0) + i64::from(self.offset_dmm);
        let (first, last) = (self.points[0], self.points[self.points.len() - 1]);
        if height < i64::from(first.height_dmm.0) {
            return Volume { volume_ml: first.volume_ml, clamped: true };
        }
        if height >= i64::from(last.height_dmm.0) {
            return Volume { volume_ml: last.volume_ml, clamped: height > i64::from(last.height_dmm.0) };
        }
        let above = self.points.partition_point(|point| i64::from(point.height_dmm.0) <= height);
        let (low, high) = (self.points[above - 1], self.points[above]);
        let part = height - i64::from(low.height_dmm.0);
        let span = i64::from(high.height_dmm.0) - i64::from(low.height_dmm.0);
        let volume = between(low.volume_ml.get(), high.volume_ml.get(), part, span);
        Volume { volume_ml: Millilitres::new(volume).unwrap_or(high.volume_ml), clamped: false }
    }

    /// The height as the gauge would give it for a volume; `None` beyond the table.
    #[must_use]
    pub fn height(&self, volume: Millilitres) -> Option<DeciMillimetres> {
        let above = self.points.partition_point(|point| point.volume_ml <= volume);
        let height = match (above, self.points.get(above)) {
            (0, _) => return None,
            (_, None) => {
                let last = self.points[above - 1];
                if volume > last.volume_ml {
                    return None;
                }
                u64::from(last.height_dmm.0)
            }
            (_, Some(high)) => {
                let low = self.points[above - 1];
                let part = (volume.get() - low.volume_ml.get()).cast_signed();
                let span = (high.volume_ml.get() - low.volume_ml.get()).cast_signed();
                between(low.height_dmm.0.into(), high.height_dmm.0.into(), part, span)
            }
        };
        u32::try_from(height.cast_signed() - i64::from(self.offset_dmm)).ok().map(DeciMillimetres)
    }

    /// The highest height of the table.
    #[must_use]
    pub fn height_max(&self) -> DeciMillimetres {
        let last = i64::from(self.points[self.points.len() - 1].height_dmm.0) - i64::from(self.offset_dmm);
        DeciMillimetres(u32::try_from(last).unwrap_or(0))
    }

    #[must_use]
    pub fn capacity(&self) -> Millilitres {
        self.points[self.points.len() - 1].volume_ml
    }
}

/// `low + (high − low) · part / span`, rounded half up. `span` is positive, `part` within it.
fn between(low: u64, high: u64, part: i64, span: i64) -> u64 {
    let rise = i128::from(high) - i128::from(low);
    let share = (rise * i128::from(part) * 2 + i128::from(span)) / (2 * i128::from(span));
    u64::try_from(i128::from(low) + share).unwrap_or(high)
}

/// All tables of a tank: an old volume keeps the table of its time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Charts(Vec<(TimestampUs, Strapping)>);

impl Charts {
    pub fn new(charts: &[DatedChart]) -> Result<Self, ChartError> {
        let build = |dated: &DatedChart| Ok((dated.from_us, Strapping::new(&dated.chart, dated.offset_dmm)?));
        let mut charts: Vec<_> = charts.iter().map(build).collect::<Result<_, _>>()?;
        charts.sort_by_key(|(from, _)| *from);
        Ok(Self(charts))
    }

    /// The table that holds at a moment; before the first, the first.
    #[must_use]
    pub fn at(&self, at: TimestampUs) -> Option<&Strapping> {
        let next = self.0.partition_point(|(from, _)| *from <= at);
        self.0.get(next.saturating_sub(1)).map(|(_, chart)| chart)
    }
}

/// Metres. The surface over the place `x` along the axis stands at `height + slope · (x − probe)` above the wall there.
struct Cylinder {
    radius: f64,
    length: f64,
    slope: f64,
    probe: f64,
}

impl Cylinder {
    fn new(
        diameter: DeciMillimetres,
        length: DeciMillimetres,
        tilt_e4: i32,
        probe: Option<DeciMillimetres>,
    ) -> Result<Self, ChartError> {
        if diameter.0 == 0 || length.0 == 0 {
            return Err(ChartError::NoSize);
        }
        if tilt_e4.abs() > 1_000 {
            return Err(ChartError::Slope(tilt_e4));
        }
        let metres = |dmm: DeciMillimetres| f64::from(dmm.0) / 10_000.0;
        let length = metres(length);
        let probe = probe.map_or(length / 2.0, metres);
        Ok(Self { radius: metres(diameter) / 2.0, length, slope: f64::from(tilt_e4) / 10_000.0, probe })
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a tank's millimetres and millilitres")]
    fn points(&self) -> Vec<ChartPoint> {
        let diameter_dmm = (self.radius * 20_000.0).round() as u32;
        let step = diameter_dmm.div_ceil(POINTS_MAX as u32 - 2).max(10);
        let mut points: Vec<ChartPoint> = Vec::new();
        for height in (0..diameter_dmm).step_by(step as usize).chain([diameter_dmm]) {
            let ml = (self.volume(f64::from(height) / 10_000.0) * 1e6).round() as u64;
            let volume_ml = Millilitres::new(ml).unwrap_or_default();
            // A sloped tank is empty or full before the probe's height says so.
            match points.last_mut() {
                Some(last) if last.volume_ml == Millilitres::ZERO && volume_ml == Millilitres::ZERO => {
                    last.height_dmm = DeciMillimetres(height);
                }
                Some(last) if last.volume_ml >= volume_ml => {}
                _ => points.push(ChartPoint { height_dmm: DeciMillimetres(height), volume_ml }),
            }
        }
        points
    }

    /// Cubic metres under a height at the probe.
    fn volume(&self, height: f64) -> f64 {
        if self.slope == 0.0 {
            return self.length * self.section(height);
        }
        let near = height - self.slope * self.probe;
        let far = near + self.slope * self.length;
        (self.sections(far) - self.sections(near)) / self.slope
    }

    /// Wetted cross-section: `R²·acos((R−h)/R) − (R−h)·√(2Rh−h²)`.
    fn section(&self, height: f64) -> f64 {
        let r = self.radius;
        let h = height.clamp(0.0, 2.0 * r);
        r * r * ((r - h) / r).acos() - (r - h) * (2.0 * r * h - h * h).sqrt()
    }

    /// The integral of [`Self::section`] from the bottom to `height`, the full section above the top.
    fn sections(&self, height: f64) -> f64 {
        let r = self.radius;
        let h = height.clamp(0.0, 2.0 * r);
        let u = (r - h) / r;
        let s = (1.0 - u * u).max(0.0).sqrt();
        let full = std::f64::consts::PI * r * r;
        r.powi(3) * (s - u * u.acos() - s.powi(3) / 3.0) + full * (height - 2.0 * r).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cylinder(tilt_e4: i32, probe_dmm: Option<u32>) -> Strapping {
        let (diameter_dmm, length_dmm) = (DeciMillimetres(25_000), DeciMillimetres(100_000));
        let probe_dmm = probe_dmm.map(DeciMillimetres);
        Strapping::new(&Chart::HorizontalCylinder { diameter_dmm, length_dmm, tilt_e4, probe_dmm }, 0).unwrap()
    }

    fn litres(chart: &Strapping, height_dmm: u32) -> String {
        format!("{:.1}", chart.volume(DeciMillimetres(height_dmm)).volume_ml.get() as f64 / 1000.0)
    }

    #[test]
    fn a_lying_cylinder_holds_what_the_formula_says() {
        let chart = cylinder(0, None);
        let heights = [1_000, 5_000, 12_500, 20_000, 25_000];
        let volumes = heights.map(|height| litres(&chart, height));
        assert_eq!(volumes, ["658.6", "6989.0", "24543.7", "42098.4", "49087.4"]);
    }

    #[test]
    fn a_slope_seen_from_the_middle_changes_nothing_at_half_height_and_all_at_the_ends() {
        let (level, sloped) = (cylinder(0, None), cylinder(100, None));
        assert_eq!(litres(&sloped, 12_500), litres(&level, 12_500));
        let near = |probe| cylinder(100, Some(probe)).volume(DeciMillimetres(12_500)).volume_ml;
        // One percent over 5 m from the middle: the probe at the high end reads 50 mm too little.
        assert!(near(0) > near(50_000) && near(50_000) > near(100_000));
        let shifted = level.volume(DeciMillimetres(13_000)).volume_ml.get();
        assert!(near(0).get().abs_diff(shifted) < 20_000, "{:?} against {shifted}", near(0));
    }

    #[test]
    fn a_height_beyond_the_table_gives_its_end_and_says_so() {
        let chart = cylinder(0, None);
        let above = chart.volume(DeciMillimetres(25_001));
        assert_eq!((above.volume_ml, above.clamped), (chart.capacity(), true));
        assert!(!chart.volume(DeciMillimetres(25_000)).clamped);
        assert_eq!(chart.height(Millilitres::from_litres(60_000)), None);
    }

    #[test]
    fn a_table_that_does_not_rise_is_refused_with_its_place() {
        let point = |height, litres| ChartPoint {
            height_dmm: DeciMillimetres(height),
            volume_ml: Millilitres::from_litres(litres),
        };
        let build = |points: &[ChartPoint]| Strapping::new(&Chart::Points(points.to_vec()), 0).map(|_| ());
        assert_eq!(build(&[point(0, 0), point(10, 5), point(20, 5)]), Err(ChartError::NotRising(2)));
        assert_eq!(build(&[point(0, 0)]), Err(ChartError::Points(1)));
        assert_eq!(build(&[point(0, 0), point(10, 5)]), Ok(()));
    }

    #[test]
    fn a_new_calibration_does_not_rewrite_old_volumes() {
        let chart = |from, litres| DatedChart {
            from_us: TimestampUs::from_micros(from),
            chart: Chart::Points(vec![
                ChartPoint { height_dmm: DeciMillimetres(0), volume_ml: Millilitres::ZERO },
                ChartPoint { height_dmm: DeciMillimetres(1_000), volume_ml: Millilitres::from_litres(litres) },
            ]),
            offset_dmm: 0,
        };
        let charts = Charts::new(&[chart(500, 1_200), chart(0, 1_000)]).unwrap();
        let at = |us| charts.at(TimestampUs::from_micros(us)).map(|c| c.volume(DeciMillimetres(500)).volume_ml);
        assert_eq!((at(499), at(500)), (Some(Millilitres::from_litres(500)), Some(Millilitres::from_litres(600))));
        assert!(Charts::default().at(TimestampUs::from_micros(9)).is_none());
    }

    proptest! {
        #[test]
        fn height_and_volume_are_inverse(height in 0_u32..=25_000, tilt in -200_i32..200, offset in -50_i32..50) {
            let chart = Strapping { offset_dmm: offset, ..cylinder(tilt, Some(20_000)) };
            let height = DeciMillimetres(height);
            let volume = chart.volume(height);
            if !volume.clamped {
                let back = chart.height(volume.volume_ml).expect("within the table");
                prop_assert!(back.0.abs_diff(height.0) <= 1, "{height:?} {volume:?} {back:?}");
            }
        }
    }
}
