//! The true shape of a tank: a lying cylinder with flat ends, in metres and litres.
//!
//! Volume comes from the angle under which the axis sees the surface, not from a chart: what is measured against this
//! simulator must not be checked with its own formula.

use std::f64::consts::{PI, TAU};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Vessel {
    pub(crate) diameter_m: f64,
    pub(crate) length_m: f64,
}

impl Vessel {
    pub(crate) fn capacity_l(&self) -> f64 {
        PI * self.diameter_m * self.diameter_m / 4.0 * self.length_m * 1000.0
    }

    /// Litres below a surface at this height. The segment is the sector of `angle` less its triangle: `R²(angle − sin angle)/2`.
    pub(crate) fn litres_at(&self, height_m: f64) -> f64 {
        let radius = self.diameter_m / 2.0;
        let angle = 2.0 * (1.0 - height_m / radius).clamp(-1.0, 1.0).acos();
        radius * radius * (angle - angle.sin()) / 2.0 * self.length_m * 1000.0
    }

    /// The height of the surface over this many litres, to a hundredth of a micrometre: Newton's steps kept between the last
    /// bounds, since the slope vanishes at bottom and top.
    pub(crate) fn height_m(&self, litres: f64) -> f64 {
        let share = (litres / self.capacity_l()).clamp(0.0, 1.0);
        let wanted = share * TAU;
        let (mut low, mut high) = (0.0, TAU);
        let mut angle = PI;
        for _ in 0..60 {
            let excess = angle - angle.sin() - wanted;
            if excess > 0.0 {
                high = angle
            } else {
                low = angle
            }
            let next = angle - excess / (1.0 - angle.cos()).max(1e-12);
            let next = if next > low && next < high { next } else { f64::midpoint(low, high) };
            if (next - angle).abs() < 1e-9 {
                break;
            }
            angle = next;
        }
        self.diameter_m / 2.0 * (1.0 - (angle / 2.0).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VESSEL: Vessel = Vessel { diameter_m: 2.5, length_m: 10.0 };

    #[test]
    fn a_lying_cylinder_holds_what_the_published_table_says() {
        for (height_m, litres) in [(0.10, 658.6), (0.50, 6989.0), (1.25, 24543.7), (2.00, 42098.4), (2.50, 49087.4)] {
            assert!((VESSEL.litres_at(height_m) - litres).abs() < 0.05, "{height_m} m");
        }
    }

    #[test]
    fn heights_and_litres_lead_back_to_each_other() {
        for step in 0..=2500 {
            let height_m = f64::from(step) / 1000.0;
            let back = VESSEL.height_m(VESSEL.litres_at(height_m));
            assert!((back - height_m).abs() < 2e-6, "{height_m} m comes back as {back}");
        }
    }
}
