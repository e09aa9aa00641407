//! The REST API: current state from memory, history from ClickHouse, health and metrics.
//!
//! In: GET requests. Out: JSON; errors are `{"error":"…"}` with 400 (what was asked), 404 (not known), 503 (not now).
//! Guarantees: the projection is locked only while an answer is encoded; answers are bounded.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::{CardToken, ContractId, IdError, IdempotencyKey, MICROS_PER_MINUTE, ProductCode, SiteId, TankId, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::history::{HistoryError, Range, Step};
use crate::projection::{Line, Tank};
use crate::server::App;
use crate::view::{CardLine, ContractLine, DecisionLine, NetworkHoldLine, TankLine, decision_line, tank_line};

/// Entries of a list when `limit` is not given, and at most.
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1_000;
const HOURS_DEFAULT: i64 = 24;
const DAYS_DEFAULT: i64 = 30;
/// Longest history by minutes, and of levels, in days.
const MINUTE_DAYS_MAX: i64 = 8;
const LEVEL_DAYS_MAX: i64 = 400;
/// Longest history by days.
const DAY_DAYS_MAX: i64 = 3_700;

/// Why a request has no answer.
pub(crate) struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        json(self.0, &json!({ "error": self.1 }))
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        Self(StatusCode::BAD_REQUEST, rejection.body_text())
    }
}

impl From<IdError> for Refusal {
    fn from(error: IdError) -> Self {
        Self(StatusCode::BAD_REQUEST, error.to_string())
    }
}

impl From<HistoryError> for Refusal {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::Range(_) => Self(StatusCode::BAD_REQUEST, error.to_string()),
            HistoryError::Away(_) | HistoryError::Slow => {
                tracing::warn!(%error, "no history");
                Self(StatusCode::SERVICE_UNAVAILABLE, format!("history is not available: {error}"))
            }
        }
    }
}

type Answer = Result<Response, Refusal>;
type Asked<T> = Result<Query<T>, QueryRejection>;

fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => {
            let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
            (status, headers, body).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn found(value: &impl Serialize) -> Answer {
    Ok(json(StatusCode::OK, value))
}

fn unknown(what: &str, id: &dyn std::fmt::Display) -> Refusal {
    Refusal(StatusCode::NOT_FOUND, format!("{what} {id} is not known"))
}

/// An optional identifier: empty counts as absent.
fn optional<T>(text: Option<&str>, new: impl Fn(&str) -> Result<T, IdError>) -> Result<Option<T>, IdError> {
    text.filter(|text| !text.is_empty()).map(new).transpose()
}

fn limit(asked: Option<usize>) -> usize {
    asked.unwrap_or(LIMIT_DEFAULT).min(LIMIT_MAX)
}

pub(crate) async fn no_such_path() -> Refusal {
    Refusal(StatusCode::NOT_FOUND, "there is no such path in the API".to_owned())
}

pub(crate) async fn live() -> Response {
    json(StatusCode::OK, &json!({ "live": true }))
}

pub(crate) async fn ready(State(app): State<Arc<App>>) -> Response {
    let waiting = app.health.waiting_for();
    let status = if waiting.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, &json!({ "ready": waiting.is_empty(), "waiting_for": waiting, "parts": app.health.parts() }))
}

pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (app.render_metrics)()).into_response()
}

pub(crate) async fn network(State(app): State<Arc<App>>) -> Answer {
    found(&app.hub.read().network())
}

#[derive(Deserialize)]
pub(crate) struct DecisionsAsked {
    contract: Option<String>,
    card: Option<String>,
    verdict: Option<Verdict>,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct DecisionList<'a> {
    decisions: Vec<DecisionLine<'a>>,
}

/// The last decisions that are in memory, newest first.
pub(crate) async fn decisions(State(app): State<Arc<App>>, asked: Asked<DecisionsAsked>) -> Answer {
    let Query(asked) = asked?;
    let contract = optional(asked.contract.as_deref(), ContractId::new)?;
    let card = optional(asked.card.as_deref(), CardToken::new)?;
    let limit = limit(asked.limit);
    let projection = app.hub.read();
    let wanted = |line: &&Line| {
        contract.as_ref().is_none_or(|id| line.contract.as_ref() == Some(id))
            && card.as_ref().is_none_or(|token| line.card == *token)
            && asked.verdict.is_none_or(|verdict| line.answer.verdict == verdict)
    };
    let of_network: Vec<&Line> = projection.decisions().newest_first().filter(wanted).take(limit).collect();
    // A quiet contract's own list reaches further back than the network's.
    let of_contract: Vec<&Line> = contract
        .as_ref()
        .and_then(|id| projection.contracts().get(id))
        .map(|contract| contract.decisions.iter().rev().map(|line| &**line).filter(wanted).take(limit).collect())
        .unwrap_or_default();
    let lines = if of_contract.len() > of_network.len() { of_contract } else { of_network };
    found(&DecisionList { decisions: lines.into_iter().map(decision_line).collect() })
}

pub(crate) async fn decision(State(app): State<Arc<App>>, Path(idem): Path<String>) -> Answer {
    let idem = IdempotencyKey::new(&idem)?;
    if let Some((line, decision)) = app.hub.read().decisions().by_idem(&idem) {
        return found(&json!({ "source": "memory", "line": decision_line(line), "decision": decision }));
    }
    match app.history.decision(&idem).await? {
        Some(row) => found(&json!({ "source": "history", "row": row })),
        None => Err(unknown("a decision on", &idem)),
    }
}

#[derive(Deserialize)]
pub(crate) struct ContractsAsked {
    /// Part of the number or the name.
    search: Option<String>,
    limit: Option<usize>,
    /// The last contract of the page before.
    after: Option<String>,
}

#[derive(Serialize)]
struct ContractList<'a> {
    contracts: Vec<ContractLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
}

/// Contracts by number.
pub(crate) async fn contracts(State(app): State<Arc<App>>, asked: Asked<ContractsAsked>) -> Answer {
    let Query(asked) = asked?;
    let limit = limit(asked.limit);
    let search = asked.search.unwrap_or_default().to_lowercase();
    let projection = app.hub.read();
    let mut contracts: Vec<_> = projection
        .contracts()
        .all()
        .iter()
        .filter(|contract| asked.after.as_deref().is_none_or(|after| contract.id.as_str() > after))
        .filter(|contract| {
            search.is_empty()
                || contract.id.as_str().to_lowercase().contains(&search)
                || contract.name.to_lowercase().contains(&search)
        })
        .collect();
    contracts.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let more = contracts.len() > limit;
    contracts.truncate(limit);
    let next = contracts.last().filter(|_| more).map(|contract| contract.id.as_str());
    found(&ContractList { contracts: contracts.into_iter().map(|each| projection.contract_line(each)).collect(), next })
}

pub(crate) async fn contract(State(app): State<Arc<App>>, Path(id): Path<String>) -> Answer {
    let id = ContractId::new(&id)?;
    let projection = app.hub.read();
    let contract = projection.contracts().get(&id).ok_or_else(|| unknown("contract", &id))?;
    let (line, detail) = (projection.contract_line(contract), projection.contract_detail(contract));
    found(&json!({ "contract": line, "detail": detail }))
}

/// When the contract's money runs out, and by when it must be paid.
pub(crate) async fn forecast(State(app): State<Arc<App>>, Path(id): Path<String>) -> Answer {
    let id = ContractId::new(&id)?;
    let projection = app.hub.read();
    let contract = projection.contracts().get(&id).ok_or_else(|| unknown("contract", &id))?;
    found(&projection.forecast_line(contract))
}

#[derive(Serialize)]
struct CardAnswer<'a> {
    contract: &'a str,
    contract_name: &'a str,
    card: CardLine<'a>,
    decisions: Vec<DecisionLine<'a>>,
}

pub(crate) async fn card(State(app): State<Arc<App>>, Path(token): Path<String>) -> Answer {
    let token = CardToken::new(&token)?;
    let projection = app.hub.read();
    let card = projection.cards().get(&token).ok_or_else(|| unknown("card", &token))?;
    let contract = projection.contracts().at(card.contract);
    let of_card = projection.decisions().newest_first().filter(|line| line.card == token);
    found(&CardAnswer {
        contract: contract.id.as_str(),
        contract_name: &contract.name,
        card: projection.card_line(card),
        decisions: of_card.take(LIMIT_DEFAULT).map(decision_line).collect(),
    })
}

#[derive(Deserialize)]
pub(crate) struct HoldsAsked {
    contract: Option<String>,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct HoldList<'a> {
    /// All that are open, also those beyond the limit.
    open: usize,
    holds: Vec<NetworkHoldLine<'a>>,
}

/// Open holds, oldest first.
pub(crate) async fn holds(State(app): State<Arc<App>>, asked: Asked<HoldsAsked>) -> Answer {
    let Query(asked) = asked?;
    let limit = limit(asked.limit);
    let projection = app.hub.read();
    let holds = projection.holds();
    let (open, shown): (usize, Vec<_>) = match optional(asked.contract.as_deref(), ContractId::new)? {
        None => (holds.count(), holds.oldest_first().take(limit).collect()),
        Some(id) => {
            let place = projection.contracts().place(&id).ok_or_else(|| unknown("contract", &id))?;
            (holds.count_of(place), holds.of(place).take(limit).collect())
        }
    };
    found(&HoldList { open, holds: shown.into_iter().map(|open| projection.network_hold_line(open)).collect() })
}

#[derive(Deserialize)]
pub(crate) struct TanksAsked {
    site: Option<String>,
    /// `false`: only those that nobody registered.
    registered: Option<bool>,
}

#[derive(Serialize)]
struct TankList<'a> {
    tanks: Vec<TankLine<'a>>,
}

pub(crate) async fn tanks(State(app): State<Arc<App>>, asked: Asked<TanksAsked>) -> Answer {
    let Query(asked) = asked?;
    let projection = app.hub.read();
    let wanted = |tank: &&Tank| asked.registered.is_none_or(|registered| tank.setup.is_some() == registered);
    let tanks = match optional(asked.site.as_deref(), SiteId::new)? {
        None => projection.tanks().all().iter().filter(wanted).map(tank_line).collect(),
        Some(site) => {
            let places = projection.sites().get(&site).map_or(&[][..], |site| &site.tanks);
            places.iter().map(|&place| projection.tanks().at(place)).filter(wanted).map(tank_line).collect()
        }
    };
    found(&TankList { tanks })
}

pub(crate) async fn site(State(app): State<Arc<App>>, Path(id): Path<String>) -> Answer {
    let id = SiteId::new(&id)?;
    let projection = app.hub.read();
    found(&projection.site_line(&id).ok_or_else(|| unknown("site", &id))?)
}

#[derive(Deserialize)]
pub(crate) struct HistoryAsked {
    site: Option<String>,
    product: Option<String>,
    tank: Option<String>,
    contract: Option<String>,
    from: Option<i64>,
    to: Option<i64>,
    step: Option<Step>,
}

impl HistoryAsked {
    /// From the given times, or else the last `hours` until `now_us`.
    fn range(&self, now_us: i64, hours: i64, days_max: i64) -> Result<Range, HistoryError> {
        let to = self.to.unwrap_or(now_us);
        Range::new(self.from.unwrap_or_else(|| to.saturating_sub(hours * 60 * MICROS_PER_MINUTE)), to, days_max)
    }
}

fn required<T>(name: &str, value: Option<T>) -> Result<T, Refusal> {
    value.ok_or_else(|| Refusal(StatusCode::BAD_REQUEST, format!("{name} is missing")))
}

pub(crate) async fn consumption(State(app): State<Arc<App>>, asked: Asked<HistoryAsked>) -> Answer {
    let Query(asked) = asked?;
    let site = optional(asked.site.as_deref(), SiteId::new)?;
    let product = optional(asked.product.as_deref(), ProductCode::new)?;
    let step = asked.step.unwrap_or(Step::Minute);
    let range = match step {
        Step::Minute => asked.range(crate::server::now_us(), HOURS_DEFAULT, MINUTE_DAYS_MAX)?,
        Step::Day => asked.range(crate::server::now_us(), DAYS_DEFAULT * 24, DAY_DAYS_MAX)?,
    };
    found(&json!({ "points": app.history.consumption(site.as_ref(), product.as_ref(), range, step).await? }))
}

pub(crate) async fn tank_history(State(app): State<Arc<App>>, asked: Asked<HistoryAsked>) -> Answer {
    let Query(asked) = asked?;
    let site = required("site", optional(asked.site.as_deref(), SiteId::new)?)?;
    let tank = required("tank", optional(asked.tank.as_deref(), TankId::new)?)?;
    let range = asked.range(crate::server::now_us(), HOURS_DEFAULT, LEVEL_DAYS_MAX)?;
    found(&json!({ "points": app.history.tank(&site, &tank, range).await? }))
}

/// The sales of a tank beside what it lost.
pub(crate) async fn tank_sales(State(app): State<Arc<App>>, asked: Asked<HistoryAsked>) -> Answer {
    let Query(asked) = asked?;
    let site = required("site", optional(asked.site.as_deref(), SiteId::new)?)?;
    let tank = required("tank", optional(asked.tank.as_deref(), TankId::new)?)?;
    let range = asked.range(crate::server::now_us(), HOURS_DEFAULT, LEVEL_DAYS_MAX)?;
    found(&app.history.sales(&site, &tank, range).await?)
}

pub(crate) async fn contract_history(State(app): State<Arc<App>>, asked: Asked<HistoryAsked>) -> Answer {
    let Query(asked) = asked?;
    let contract = required("contract", optional(asked.contract.as_deref(), ContractId::new)?)?;
    let range = asked.range(crate::server::now_us(), DAYS_DEFAULT * 24, DAY_DAYS_MAX)?;
    found(&app.history.contract(&contract, range).await?)
}
