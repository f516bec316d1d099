//! Changes, with X-Road's codes when they are refused.

use causeway_admin::http::Problem;
use http::StatusCode;

use crate::edit::{Edit, EditError};
use crate::records::State;
use crate::registry::Registry;

/// Codes for what a change may be refused for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Codes {
    /// What it is about is not there: 404.
    pub(super) missing: &'static str,
    /// What is to be added is there: 409.
    pub(super) exists: &'static str,
    /// What is to be removed is needed.
    pub(super) in_use: (StatusCode, &'static str),
}

impl Codes {
    /// For changes that remove nothing.
    pub(super) const fn of(missing: &'static str, exists: &'static str) -> Self {
        Self { missing, exists, in_use: (StatusCode::CONFLICT, exists) }
    }
}

/// Makes a change; `about` is told with a refusal.
pub(super) fn edit(
    registry: &Registry,
    edit: Edit,
    codes: Codes,
    about: &str,
) -> Result<(), Problem> {
    edit_all(registry, vec![edit], codes, about)
}

/// Makes all changes or none.
pub(super) fn edit_all(
    registry: &Registry,
    edits: Vec<Edit>,
    codes: Codes,
    about: &str,
) -> Result<(), Problem> {
    registry.edit_all(edits).map_err(|e| refused(e, codes, about))
}

/// Makes the changes that are planned on the records as they are.
pub(super) fn edit_with<T>(
    registry: &Registry,
    codes: Codes,
    about: &str,
    plan: impl FnOnce(&State) -> Result<(Vec<Edit>, T), Problem>,
) -> Result<T, Problem> {
    let planned = registry.edit_with(|state| plan(state).map_err(Refused::Here));
    planned.map_err(|refusal| match refusal {
        Refused::Here(problem) => problem,
        Refused::There(e) => refused(e, codes, about),
    })
}

/// Who refused a planned change: the plan, or the rules.
enum Refused {
    Here(Problem),
    There(EditError),
}

impl From<EditError> for Refused {
    fn from(e: EditError) -> Self {
        Self::There(e)
    }
}

fn refused(e: EditError, codes: Codes, about: &str) -> Problem {
    let reason = e.to_string();
    match e {
        EditError::Missing(..) => Problem::missing(codes.missing, reason).about(about),
        EditError::Exists(..) => Problem::conflict(codes.exists, reason).about(about),
        EditError::InUse(..) => Problem::coded(codes.in_use.0, codes.in_use.1, reason).about(about),
        EditError::Invalid(why, next) => {
            Problem::bad("invalid_parameters", reason).about(why).about(next)
        }
        EditError::Store(_) => Problem::internal(&reason),
    }
}
