//! The population register: `GET /persons/CODE` and `GET /persons/CODE/parents`, and any amount of
//! bytes for measurements ([`super::measure`]).

use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};

use super::{Body, json, measure, problem, segments, soap};
use crate::records::{Person, person};

/// Answers a request.
pub async fn handle(request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    match (request.method(), segments(&path).as_slice()) {
        (_, ["measure", amount]) => measure::handle(amount, request).await,
        (&Method::POST, [soap::PATH]) => soap::handle(request).await,
        (&Method::GET, ["persons", code]) => match person(code) {
            Some(found) => json(StatusCode::OK, found),
            None => unknown(),
        },
        (&Method::GET, ["persons", code, "parents"]) => match person(code) {
            Some(child) => {
                let parents: Vec<&Person> =
                    child.parents.iter().filter_map(|code| person(code)).collect();
                json(StatusCode::OK, &parents)
            }
            None => unknown(),
        },
        _ => problem(StatusCode::NOT_FOUND, "there is no such resource in the population register"),
    }
}

fn unknown() -> Response<Body> {
    problem(StatusCode::NOT_FOUND, "there is no person with this personal code")
}
