//! Wet stock of a site: books against what is in the tanks, by product.
//!
//! In: the days of the site's tanks. Out: per product one standing a day, oldest first. Guarantees: days count at 15 °C only;
//! a day is the sum of the tanks that know it, and says how many those are. Does not: guess a day that no tank knows.

use std::collections::BTreeMap;

use model::{DayStock15, Millilitres15, ProductCode};
use pipeline::tanks::wet_stock::{Standing, StockDay, WetStock};

use super::Tank;

pub(crate) struct ProductStock {
    pub(crate) product: ProductCode,
    /// With the number of tanks that the day is the sum of.
    pub(crate) days: Vec<(Standing, u32)>,
    /// All that is sold is told. Otherwise the variance also holds what was sold without a card.
    pub(crate) sales_are_known: bool,
}

/// What one product's tanks held on one day.
struct Sum {
    stock: DayStock15,
    tanks: u32,
}

pub(crate) fn wet_stock<'a>(tanks: impl Iterator<Item = &'a Tank>) -> Vec<ProductStock> {
    let mut products: BTreeMap<&ProductCode, (BTreeMap<i64, Sum>, bool)> = BTreeMap::new();
    for tank in tanks {
        let told = tank.setup.as_ref().is_some_and(|setup| setup.sales_are_known);
        for day in tank.days.oldest_first() {
            let Some(stock) = day.stock.and_then(|stock| stock.at_15) else { continue };
            let (days, sales_are_known) = products.entry(&day.product).or_insert_with(|| (BTreeMap::new(), true));
            *sales_are_known &= told;
            let sum = days.entry(day.day).or_insert_with(|| Sum { stock: DayStock15::default(), tanks: 0 });
            sum.stock = added(sum.stock, stock);
            sum.tanks += 1;
        }
    }
    let standing = |(product, (days, sales_are_known)): (&ProductCode, (BTreeMap<i64, Sum>, bool))| {
        let mut books = WetStock::default();
        let close = |(day, Sum { stock, tanks }): (i64, Sum)| {
            let (opening, closing) = (stock.opening_ml, stock.closing_ml);
            let (delivered, sold) = (stock.delivered_ml, stock.sold_ml);
            (books.close(StockDay { day, opening, delivered, sold, closing }), tanks)
        };
        ProductStock { product: product.clone(), days: days.into_iter().map(close).collect(), sales_are_known }
    };
    products.into_iter().map(standing).collect()
}

fn added(one: DayStock15, other: DayStock15) -> DayStock15 {
    // Beyond a million cubic metres no site is real.
    let sum = |one: Millilitres15, other: Millilitres15| Millilitres15::new(one.get() + other.get()).unwrap_or(one);
    DayStock15 {
        opening_ml: sum(one.opening_ml, other.opening_ml),
        closing_ml: sum(one.closing_ml, other.closing_ml),
        delivered_ml: sum(one.delivered_ml, other.delivered_ml),
        sold_ml: sum(one.sold_ml, other.sold_ml),
    }
}
