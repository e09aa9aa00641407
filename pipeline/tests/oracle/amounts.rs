//! Prices, discounts and what a budget affords, by the definitions alone.

use model::{Currency, Discount, DiscountOff, Item, Unit};

use crate::book::Line;
use crate::prices::{amount, divisor};

/// The price less the discount, which is rounded half up and never more than the price.
fn net_price(discount: Option<&Discount>, price_e4: i64) -> i64 {
    let off = match discount.map(|discount| discount.off) {
        None => 0,
        Some(DiscountOff::BasisPoints(points)) => (price_e4 * i64::from(points) + 5_000).div_euclid(10_000),
        Some(DiscountOff::PriceE4(off_e4)) => i64::from(off_e4),
    };
    price_e4 - off.min(price_e4)
}

/// A line that is asked for or was sold, before a limit has cut it.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) line: Line,
    pub(crate) discount: Option<Discount>,
    pub(crate) currency: Currency,
}

impl Wish {
    /// Sets the quantity and what it costs. The station's own amount, where given, stands, less the discount.
    pub(crate) fn buy(&mut self, quantity: i64, own_gross: Option<i64>) {
        let Line { litres, price_e4, .. } = self.line;
        let price = |price_e4: i64| amount(price_e4, quantity, litres, self.currency);
        let off = price(price_e4) - price(self.net_price());
        let gross = own_gross.unwrap_or_else(|| price(price_e4));
        self.line.net = (gross - off).max(0);
        self.line.off = gross - self.line.net;
        *(if litres { &mut self.line.ml } else { &mut self.line.pieces }) = quantity;
    }

    fn net_price(&self) -> i64 {
        net_price(self.discount.as_ref(), self.line.price_e4)
    }

    pub(crate) fn quantity(&self) -> i64 {
        if self.line.litres { self.line.ml } else { self.line.pieces }
    }

    /// The largest quantity up to `most` whose exact price is within `budget`.
    pub(crate) fn affordable(&self, budget: i64, most: i64) -> i64 {
        let price = i128::from(self.net_price());
        if price == 0 {
            return most;
        }
        let quantity = i128::from(budget.max(0)) * divisor(self.line.litres, self.currency) / price;
        i64::try_from(quantity).unwrap_or(i64::MAX).min(most)
    }
}

/// An item as it stands in the request at `place`. Litres that are not given follow from the amount; what cannot be
/// known is zero.
pub(crate) fn wish(
    (place, item): (usize, &Item),
    discount: impl FnOnce(&Line) -> Option<Discount>,
    currency: Currency,
) -> Wish {
    let litres = item.unit == Unit::L;
    let line = Line {
        item: place,
        code: item.code.clone(),
        group: item.group.clone(),
        litres,
        ml: 0,
        pieces: 0,
        price_e4: i64::try_from(item.price_e4.get()).unwrap(),
        net: 0,
        off: 0,
    };
    let discount = discount(&line);
    let mut wish = Wish { line, discount, currency };
    let own_gross = item.amount_minor.map(model::MinorUnits::get);
    let given = match item.unit {
        Unit::L => item.qty_ml.map(|ml| i64::try_from(ml.get()).unwrap()),
        Unit::Pieces => item.pieces.map(i64::from),
    };
    let price = i128::from(wish.line.price_e4);
    let of_amount = own_gross
        .filter(|_| litres && price > 0)
        .map(|gross| i64::try_from(i128::from(gross.max(0)) * divisor(litres, currency) / price).unwrap());
    wish.buy(given.or(of_amount).unwrap_or(0), own_gross);
    wish
}

/// True where the station's own amount is more than one minor unit off quantity times price.
pub(crate) fn mismatch(items: &[Item], currency: Currency) -> bool {
    let given = items.iter().filter(|item| item.qty_ml.is_some() || item.pieces.is_some());
    given.into_iter().any(|item| {
        let mut computed = item.clone();
        computed.amount_minor = None;
        let gross = |item: &Item| wish((0, item), |_| None, currency).line.net;
        item.amount_minor.is_some_and(|own| (own.get() - gross(&computed)).abs() > 1)
    })
}

mod tests {
    use super::*;
    use model::{PriceE4, ProductCode, ProductSelector};

    fn diesel(price_e4: u64, off: DiscountOff) -> Wish {
        let item = Item {
            code: ProductCode::new("DIESEL").unwrap(),
            group: None,
            unit: Unit::L,
            qty_ml: None,
            pieces: None,
            price_e4: PriceE4::new(price_e4).unwrap(),
            amount_minor: None,
        };
        wish((0, &item), |_| Some(Discount { product: ProductSelector::All, off }), Currency::KZT)
    }

    #[test]
    fn a_discount_is_taken_off_the_price() {
        let mut wish = diesel(694_500, DiscountOff::BasisPoints(150));
        wish.buy(10_000, None);
        // 1.5 % of 69.45 is 1.04175, rounded 1.0418; 10 L at 68.4082.
        assert_eq!(wish.line.net, 68_408);
        wish.buy(10_000, Some(69_451));
        assert_eq!(wish.line.net, 68_409);
    }

    #[test]
    fn what_is_affordable_costs_no_more_than_there_is() {
        let wish = diesel(694_500, DiscountOff::PriceE4(94_500));
        assert_eq!(wish.affordable(60_000, 500_000), 10_000);
        assert_eq!(wish.affordable(59_999, 500_000), 9_999);
        assert_eq!(wish.affordable(-1, 500_000), 0);
    }
}
