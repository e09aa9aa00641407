//! A score as people read it: plain text, one table per question.

use std::fmt;

use super::deliveries::share;
use super::{DeliveryScore, RegimeScore, SightingScore, Spread};

impl fmt::Display for RegimeScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {:.1} tank-years, {} clean rows", self.regime, self.tank_years, self.clean_rows)?;
        self.deliveries_table(f)?;
        self.losses_table(f)?;
        self.alarms_table(f)?;
        self.rows_table(f)
    }
}

impl RegimeScore {
    fn deliveries_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "  deliveries                happened  recall  precision  volume right  attainable  own error holds  \
             error L p5/p50/p95       told after min p50/p95"
        )?;
        let [slow, middle, busy] = &self.deliveries_by_throughput;
        for (name, score) in [
            ("all", &self.deliveries),
            ("300 to 900 L/day", slow),
            ("2,000 to 4,500 L/day", middle),
            ("5,500 to 10,000 L/day", busy),
            ("came in silence", &self.deliveries_in_silence),
        ] {
            delivery_row(f, name, score)?;
        }
        if self.deliveries.short_tickets > 0 {
            writeln!(
                f,
                "  short tickets: {} of {} found, {} wrongly called short",
                self.deliveries.short_tickets_found,
                self.deliveries.short_tickets,
                self.deliveries.tickets_wrongly_short
            )?;
        }
        if self.deliveries.net_15_error_litres.count() > 0 {
            writeln!(
                f,
                "  error at 15 °C, L p5/p50/p95: {}",
                quantiles(&self.deliveries.net_15_error_litres, &[5, 50, 95])
            )?;
        }
        Ok(())
    }

    fn losses_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  thefts, L     found by night  error L p5/p50/p95    by day")?;
        let mut sizes: Vec<u64> = self.thefts.iter().map(|theft| theft.litres).collect();
        sizes.sort_unstable();
        sizes.dedup();
        for litres in sizes {
            write!(f, "    {litres:>8}")?;
            for at_night in [true, false] {
                let theft = self.thefts.iter().find(|theft| (theft.litres, theft.at_night) == (litres, at_night));
                let told = theft.map_or_else(String::new, |theft| {
                    let errors = quantiles(&theft.error_litres, &[5, 50, 95]);
                    format!("{:>6} of {:<5} {errors}", theft.found, theft.happened)
                });
                write!(f, "  {told:<36}")?;
            }
            writeln!(f)?;
        }
        writeln!(f, "  leaks, ml/h       found     too early  days to detect p50/p95  told rate over true p5/p50/p95")?;
        for leak in &self.leaks {
            writeln!(
                f,
                "    {:>8}  {:>6} of {:<5} {:>5}      {:<22}  {}",
                leak.ml_per_hour,
                leak.found,
                leak.tanks,
                leak.too_early,
                quantiles(&leak.days_to_detect, &[50, 95]),
                quantiles(&leak.rate_ratio, &[5, 50, 95])
            )?;
        }
        Ok(())
    }

    fn alarms_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_year = |count: usize| {
            let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
            count / self.alarms.tank_years.max(1e-9)
        };
        writeln!(
            f,
            "  false alarms per tank-year ({:.1} ordinary tank-years): losses {:.2}, leaks {:.2}, water {:.2}, silences {:.2}, \
             deliveries {:.2}",
            self.alarms.tank_years,
            per_year(self.alarms.losses),
            per_year(self.alarms.leaks),
            per_year(self.alarms.water),
            per_year(self.alarms.silences),
            per_year(self.alarms.deliveries)
        )?;
        writeln!(
            f,
            "  found: silences {}, water {}, wrong clocks {}, wrong units {}",
            sighted(&self.silences),
            sighted(&self.ingresses),
            sighted(&self.clocks),
            sighted(&self.unit_slips)
        )
    }

    fn rows_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  rows                      count   dropped  as measured  as sent  otherwise")?;
        for row in &self.rows {
            writeln!(
                f,
                "    {:<22} {:>7}  {:>8}  {:>11}  {:>7}  {:>9}",
                row.rows, row.count, row.dropped, row.right, row.believed, row.altered
            )?;
        }
        Ok(())
    }
}

fn delivery_row(f: &mut fmt::Formatter<'_>, name: &str, score: &DeliveryScore) -> fmt::Result {
    let per_cent = |share: Option<f64>| share.map_or_else(|| "–".to_owned(), |share| format!("{:.1} %", share * 100.0));
    writeln!(
        f,
        "    {:<22} {:>9} {:>8} {:>9} {:>13} {:>11} {:>16}  {:<24} {}",
        name,
        score.happened,
        per_cent(score.recall()),
        per_cent(score.precision()),
        per_cent(score.volume_right_share()),
        per_cent(share(score.attainable_volume_right, score.happened)),
        per_cent(share(score.within_own_error, score.found)),
        quantiles(&score.error_litres, &[5, 50, 95]),
        quantiles(&score.told_after_minutes, &[50, 95])
    )
}

fn quantiles(spread: &Spread, per_cents: &[usize]) -> String {
    let told: Option<Vec<String>> = per_cents
        .iter()
        .map(|per_cent| {
            spread.quantile(*per_cent).map(|value| format!("{value:.*}", if value.abs() < 20.0 { 1 } else { 0 }))
        })
        .collect();
    told.map_or_else(|| "–".to_owned(), |told| told.join(" / "))
}

fn sighted(score: &SightingScore) -> String {
    format!("{} of {} ({} invented)", score.found, score.happened, score.invented)
}
