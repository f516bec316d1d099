//! The public service portal: decides about a child benefit from what the two registers answer.
//!
//! It is an ordinary HTTP client of its security server: a URL that begins with `/r1/`, and the
//! header that says who asks.

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::tax::Question;
use super::{Body, json, problem, segments};
use crate::SandboxError;
use crate::consumer::{Call, Consumer, Exchange};
use crate::records::INCOME_YEAR;
use crate::world::World;

/// Below this yearly income of the parents together the whole benefit is paid, in dong.
const WHOLE_BELOW: u64 = 360_000_000;
/// Below this, half of it.
const HALF_BELOW: u64 = 600_000_000;
/// The benefit a month, in dong.
const BENEFIT: u64 = 900_000;

/// What the portal knows of a person.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Person {
    personal_code: String,
    given_name: String,
    family_name: String,
}

/// What the portal knows of an income.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Income {
    employment: u64,
    business: u64,
}

/// A decision about a child benefit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The child's personal code.
    pub child: String,
    /// The child's name.
    pub name: String,
    /// The names of the parents.
    pub parents: Vec<String>,
    /// The parents' yearly income together, in dong.
    pub income: u64,
    /// The year of that income.
    pub year: u16,
    /// What is paid a month, in dong; zero when nothing is.
    pub monthly_benefit: u64,
    /// The ids of the messages that prove what was asked and answered.
    pub message_ids: Vec<String>,
}

/// Asks both registers and decides. The exchanges made so far are in `exchanges` also when one fails.
///
/// # Errors
/// When a register cannot be asked, or answers with something else than was asked for.
pub async fn decide(
    consumer: &Consumer,
    world: &World,
    child: &str,
    exchanges: &mut Vec<Exchange>,
) -> Result<Decision, SandboxError> {
    let from = &world.portal.subsystem;
    let ask = Call::get(from, &world.persons, &format!("/{child}"));
    let person: Person = answer(consumer, ask, exchanges).await?;
    let ask = Call::get(from, &world.persons, &format!("/{child}/parents"));
    let parents: Vec<Person> = answer(consumer, ask, exchanges).await?;

    let codes = parents.iter().map(|parent| parent.personal_code.clone()).collect();
    let question = Question { year: INCOME_YEAR, persons: codes };
    let question = serde_json::to_vec(&question).map_err(SandboxError::part("portal"))?;
    let ask = Call::get(from, &world.income, "")
        .method(Method::POST)
        .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .body(Bytes::from(question));
    let incomes: Vec<Income> = answer(consumer, ask, exchanges).await?;

    let income = incomes.iter().fold(0_u64, |sum, income| {
        sum.saturating_add(income.employment).saturating_add(income.business)
    });
    let monthly_benefit = match income {
        0..WHOLE_BELOW => BENEFIT,
        WHOLE_BELOW..HALF_BELOW => BENEFIT / 2,
        _ => 0,
    };
    let full_name = |person: &Person| format!("{} {}", person.given_name, person.family_name);
    Ok(Decision {
        child: person.personal_code.clone(),
        name: full_name(&person),
        parents: parents.iter().map(full_name).collect(),
        income,
        year: INCOME_YEAR,
        monthly_benefit,
        message_ids: exchanges.iter().map(|exchange| exchange.id.clone()).collect(),
    })
}

async fn answer<T: for<'d> Deserialize<'d>>(
    consumer: &Consumer,
    call: Call,
    exchanges: &mut Vec<Exchange>,
) -> Result<T, SandboxError> {
    let part = call.service.to_short();
    let exchange = consumer.send(call).await?;
    let parsed = match exchange.error() {
        Some(error) => Err(error),
        None => serde_json::from_slice(&exchange.body).map_err(|e| e.to_string()),
    };
    exchanges.push(exchange);
    parsed.map_err(SandboxError::part(part))
}

/// Answers a request: `GET /child-benefit/CODE`.
pub async fn handle(
    consumer: Arc<Consumer>,
    world: Arc<World>,
    request: Request<Incoming>,
) -> Response<Body> {
    match (request.method(), segments(request.uri().path()).as_slice()) {
        (&Method::GET, ["child-benefit", child]) if child.bytes().all(|b| b.is_ascii_digit()) => {
            match decide(&consumer, &world, child, &mut Vec::new()).await {
                Ok(decision) => json(StatusCode::OK, &decision),
                Err(error) => problem(StatusCode::BAD_GATEWAY, &error.to_string()),
            }
        }
        _ => problem(StatusCode::NOT_FOUND, "ask for /child-benefit/ and a personal code"),
    }
}
