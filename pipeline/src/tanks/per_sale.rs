//! Each sale against what its tank lost meanwhile.
//!
//! In: levels and sales of one tank over some time, in order. Out: for each sale what the meter counted, what the tank gave for
//! it, and how far that can be off. Guarantees: a sale is judged only where readings stand before and after it, near enough,
//! and no fuel came in between; sales that overlap share the drop by what was counted. Does not: find who is right; a
//! meter, a gauge and a strapping table can all be wrong.
//!
//! The error is twice the scatter of the differences of all sales (1.4826 times the median of their distance from the median,
//! which is the standard deviation where they scatter normally), and half of what other sales drew partly outside the span.

use model::{Millilitres, TimestampUs, VolumeDifference};

use super::window::{pumping_us, sold_within};

const SECOND_US: i64 = model::MICROS_PER_SECOND;
/// The surface comes to rest.
const SETTLES_US: i64 = 20 * SECOND_US;
/// A reading further away from a sale says nothing about it.
const NEAR_US: i64 = 20 * 60 * SECOND_US;
/// So many sales are needed to know how they scatter.
const SALES_MIN: usize = 8;
/// No gauge is better.
const ERROR_MIN_ML: u64 = 2_000;
/// A rise by more than this and the error is a delivery.
const RISE_ML: i64 = 50_000;

/// A sale as the meter told it: `at` is when the nozzle was hung up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metered {
    pub at: TimestampUs,
    pub volume: Millilitres,
}

/// A sale beside its tank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What the tank lost, less what the other sales in the span counted.
    pub drop: VolumeDifference,
    /// The true drop lies within this of `drop`, 19 times of 20.
    pub error: Millilitres,
    /// Drop less counted: positive when more left the tank than the meter counted.
    pub difference: VolumeDifference,
    /// The difference is half as large again as its error: one of twenty lies beyond that by chance, one of four hundred here.
    pub differs: bool,
}

/// For each sale, in its order; `None` where it cannot be judged. Levels and sales come in order of time.
#[must_use]
pub fn check(levels: &[(TimestampUs, Millilitres)], sales: &[Metered]) -> Vec<Option<Checked>> {
    let spans: Vec<Option<Span>> = sales.iter().map(|sale| Span::of(levels, sales, *sale)).collect();
    let mut differences: Vec<i64> = spans.iter().flatten().map(|span| span.difference).collect();
    if differences.len() < SALES_MIN {
        return vec![None; sales.len()];
    }
    let middle = median(&mut differences);
    let mut distances: Vec<i64> = differences.iter().map(|difference| (difference - middle).abs()).collect();
    let scatter = u64::try_from(median(&mut distances)).unwrap_or(0);
    // 2 × 1.4826 in ten-thousandths.
    let common = (scatter.saturating_mul(29_652) / 10_000).max(ERROR_MIN_ML);
    let checked = |(span, sale): (&Option<Span>, &Metered)| {
        let span = span.as_ref()?;
        let error = common.saturating_add(span.cut_ml / 2);
        if span.difference < -(RISE_ML + i64::try_from(error).unwrap_or(i64::MAX)) {
            return None;
        }
        Some(Checked {
            drop: VolumeDifference(sale.volume.get().cast_signed() + span.difference),
            error: Millilitres::new(error).ok()?,
            difference: VolumeDifference(span.difference),
            differs: span.difference.unsigned_abs() > error + error / 2,
        })
    };
    spans.iter().zip(sales).map(checked).collect()
}

/// Between the readings around a sale.
struct Span {
    /// What the tank lost less what all sales counted in it.
    difference: i64,
    /// Counted by other sales that reach over its ends.
    cut_ml: u64,
}

impl Span {
    fn of(levels: &[(TimestampUs, Millilitres)], sales: &[Metered], sale: Metered) -> Option<Self> {
        let ended_us = sale.at.get();
        let began_us = ended_us - pumping_us(sale.volume);
        let before = levels.partition_point(|(at, _)| at.get() <= began_us).checked_sub(1)?;
        let after = levels.partition_point(|(at, _)| at.get() < ended_us + SETTLES_US);
        let ((from, high), (to, low)) = (levels[before], *levels.get(after)?);
        if began_us - from.get() > NEAR_US || to.get() - ended_us > NEAR_US {
            return None;
        }
        let span_us = from.get()..to.get();
        let (mut counted, mut cut_ml) = (0, 0);
        // A sale that ends long after the span may have begun in it.
        let first = sales.partition_point(|other| other.at.get() <= span_us.start);
        for other in &sales[first..] {
            if other.at.get() - NEAR_US > span_us.end {
                break;
            }
            let within = sold_within(other.at, other.volume, span_us.start, span_us.end);
            counted += within;
            let whole = other.volume.get().cast_signed();
            if within > 0 && within < whole {
                cut_ml += whole.unsigned_abs();
            }
        }
        let lost = high.get().cast_signed() - low.get().cast_signed();
        Some(Self { difference: lost - counted, cut_ml })
    }
}

fn median(values: &mut [i64]) -> i64 {
    values.sort_unstable();
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    #[expect(clippy::cast_possible_truncation, reason = "minutes of a day")]
    fn at(minute: f64) -> TimestampUs {
        TimestampUs::from_micros((minute * 60.0) as i64 * SECOND_US)
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what fits into a tank")]
    fn litres(litres: f64) -> Millilitres {
        Millilitres::new((litres * 1000.0) as u64).expect("a volume")
    }

    /// A tank with a reading each minute that trembles by a litre, and a sale of 40 L each ten minutes; `wrong` of them took
    /// 20 L more than counted.
    fn check_sales(wrong: usize, missing: &[usize], expected: Expect) {
        let mut random = SmallRng::seed_from_u64(7);
        let (mut levels, mut sales, mut level) = (Vec::new(), Vec::new(), 9_000.0);
        for minute in 0..160_u32 {
            if minute % 10 == 5 {
                let number = sales.len();
                sales.push(Metered { at: at(f64::from(minute) + 0.2), volume: litres(40.0) });
                level -= if number == wrong { 60.0 } else { 40.0 };
            }
            let trembling: f64 = random.random_range(-1.0..1.0);
            // What flows between two readings is seen by the next.
            if !missing.contains(&(minute as usize)) {
                let time = at(f64::from(minute) + if minute % 10 == 5 { 0.6 } else { 0.0 });
                levels.push((time, litres(level + trembling)));
            }
        }
        let shown: String = check(&levels, &sales)
            .iter()
            .map(|found| match found {
                None => "not judged\n".to_owned(),
                Some(found) if found.differs => {
                    format!("{} L of 40 L\n", (found.drop.0 as f64 / 1000.0).round())
                }
                Some(found) => format!("agrees within {} L\n", found.error.get() / 1000),
            })
            .collect();
        expected.assert_eq(&shown);
    }

    #[test]
    fn the_sale_that_took_more_than_was_counted_is_found() {
        check_sales(
            3,
            &[],
            expect![[r#"
            agrees within 2 L
            agrees within 2 L
            agrees within 2 L
            60 L of 40 L
            agrees within 2 L
            agrees within 2 L
            agrees within 2 L
            agrees within 2 L
            agrees within 2 L
            agrees within 2 L
            agrees within 2 L
            agrees within 2 L
            agrees within 2 L
            agrees within 2 L
            agrees within 2 L
            agrees within 2 L
        "#]],
        );
    }

    #[test]
    fn where_no_reading_stands_near_nothing_is_said() {
        let gap: Vec<usize> = (36..76).collect();
        check_sales(
            99,
            &gap,
            expect![[r#"
            agrees within 2 L
            agrees within 2 L
            agrees within 2 L
            agrees within 2 L
            not judged
            not judged
            not judged
            not judged
            agrees within 2 L
            agrees within 2 L
            agrees within 2 L
            agrees within 2 L
            agrees within 2 L
            agrees within 2 L
            agrees within 2 L
            agrees within 2 L
        "#]],
        );
    }

    #[test]
    fn a_delivery_meanwhile_is_not_held_against_a_sale() {
        let levels: Vec<_> = (0..100)
            .map(|minute| {
                let sold = 40.0 * f64::from(minute / 10);
                let brought = if minute >= 55 { 5_000.0 } else { 0.0 };
                (at(f64::from(minute)), litres(9_000.0 - sold + brought))
            })
            .collect();
        let sales: Vec<_> =
            (1..10).map(|sale| Metered { at: at(f64::from(sale * 10) - 0.3), volume: litres(40.0) }).collect();
        let judged: Vec<bool> = check(&levels, &sales).iter().map(Option::is_some).collect();
        assert_eq!(judged, [true; 9], "the truck came between two sales");
        let during: Vec<_> =
            sales.iter().map(|sale| Metered { at: sale.at.plus_us(5 * 60 * SECOND_US), ..*sale }).collect();
        let found = check(&levels, &during);
        assert_eq!(found[4], None, "the truck came during this one");
    }
}
