//! What was made of dirty readings, and of clean ones that were not left alone.

use serde::Serialize;

use crate::tanks::truth::Dirt;
use crate::tanks::watch::{Taken, Treated, same};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RowScore {
    /// "clean", or what is wrong with the rows.
    pub rows: String,
    pub count: usize,
    pub dropped: usize,
    /// Used with the values that were sent, which differ from what was measured.
    pub believed: usize,
    /// Used with what was measured.
    pub right: usize,
    /// Used with neither.
    pub altered: usize,
}

pub(super) fn counted(treated: &[Treated]) -> Vec<RowScore> {
    let mut rows = Vec::new();
    for treated in treated {
        let clean = treated.sample.clean.as_deref().unwrap_or(&treated.sample.reading);
        let mut score = RowScore { rows: name(treated.sample.dirt), count: 1, ..RowScore::default() };
        match &treated.taken {
            Taken::Dropped => score.dropped = 1,
            Taken::Used(used) if same(used, clean) => score.right = 1,
            Taken::Used(used) if same(used, &treated.sample.reading) => score.believed = 1,
            Taken::Used(_) => score.altered = 1,
        }
        add(&mut rows, vec![score]);
    }
    rows
}

pub(super) fn add(sums: &mut Vec<RowScore>, rows: Vec<RowScore>) {
    for row in rows {
        if let Some(sum) = sums.iter_mut().find(|sum| sum.rows == row.rows) {
            sum.count += row.count;
            sum.dropped += row.dropped;
            sum.believed += row.believed;
            sum.right += row.right;
            sum.altered += row.altered;
        } else {
            sums.push(row);
        }
    }
    sums.sort_by(|one, other| one.rows.cmp(&other.rows));
}

fn name(dirt: Option<Dirt>) -> String {
    let Some(dirt) = dirt else { return "clean".to_owned() };
    match dirt {
        Dirt::Duplicate => "duplicate",
        Dirt::NearDuplicate => "near duplicate",
        Dirt::SwappedColumns => "swapped columns",
        Dirt::Spike => "spike",
        Dirt::Sentinel => "sentinel",
        Dirt::InvalidStatus => "invalid status",
        Dirt::Overtaken => "overtaken",
        Dirt::LateBatch => "late batch",
        Dirt::ClockWrong => "clock wrong",
        Dirt::ClockReset => "clock reset",
        Dirt::UnitSlip => "gallons for litres",
    }
    .to_owned()
}
