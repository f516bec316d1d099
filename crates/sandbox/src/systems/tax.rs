//! The tax authority: `POST /income` with `{"year": 2025, "persons": ["…"]}`, and
//! `GET /income/CODE/YEAR`, described at `/openapi.json`.

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::{Body, described, json, problem, segments};
use crate::records::income;

/// The largest question, in bytes.
const MAX_QUESTION: usize = 64 << 10;

/// Whose income of which year is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The year.
    pub year: u16,
    /// Personal codes.
    pub persons: Vec<String>,
}

/// What describes the service `income`.
const DESCRIPTION: &str = include_str!("tax.openapi.json");

/// Answers a request.
pub async fn handle(request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    match (request.method(), segments(&path).as_slice()) {
        (&Method::GET, ["openapi.json"]) => described("application/json", DESCRIPTION),
        (&Method::POST, ["income"]) => several(request).await,
        (&Method::GET, ["income", person, year]) => {
            match year.parse().ok().and_then(|year| income(person, year)) {
                Some(found) => json(StatusCode::OK, found),
                None => {
                    problem(StatusCode::NOT_FOUND, "no income is known of that person and year")
                }
            }
        }
        _ => problem(StatusCode::NOT_FOUND, "the tax authority has no such resource"),
    }
}

async fn several(request: Request<Incoming>) -> Response<Body> {
    let body = Limited::new(request.into_body(), MAX_QUESTION).collect().await;
    let question = body.ok().and_then(|body| serde_json::from_slice(&body.to_bytes()).ok());
    let Some(Question { year, persons }) = question else {
        let text = "ask with {\"year\": 2025, \"persons\": [\"personal code\"]}";
        return problem(StatusCode::BAD_REQUEST, text);
    };
    let known: Vec<_> = persons.iter().filter_map(|person| income(person, year)).collect();
    json(StatusCode::OK, &known)
}
