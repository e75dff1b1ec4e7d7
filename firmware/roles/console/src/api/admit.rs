//! Whether a request may be carried out at all, as far as its cookies and head say. It never looks into a body.

use super::browser::{Browsers, Caller, Person, Rank};
use super::calls::Access;
use super::problem::Problem;
use super::{CSRF, grant};
use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, StatusCode};

/// Whether a call may be carried out at all, as far as cookies and headers say.
pub(super) fn admit(
    browsers: &Browsers,
    access: Access,
    parts: &hyper::http::request::Parts,
    host: &str,
    caller: &Caller,
) -> Result<(), Problem> {
    match (access, &caller.person) {
        (Access::Look | Access::Own | Access::Support | Access::Change, None) => return Err(no_session()),
        (Access::Own | Access::Change, Some(Person { rank: Rank::Grant(_), .. })) => {
            return Err(grant::only_its_session());
        }
        (Access::Support | Access::Change, Some(Person { rank: Rank::Viewer, .. })) => {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "viewer",
                "You may look, and not change anything",
                "Your role at the array lets you look, and not change anything here.",
                "Ask somebody who has the role Admin at the array.",
            ));
        }
        _ => {}
    }
    if parts.method.is_safe() {
        return Ok(());
    }
    own_origin(&parts.headers, host)?;
    json_only(&parts.headers)?;
    if access == Access::Credentials {
        return Ok(());
    }
    let shown = parts.headers.get(&CSRF).map(HeaderValue::as_bytes).unwrap_or_default();
    if browsers.is_csrf(caller.token, shown) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "csrf",
        "The page is out of date",
        "The request does not bear the token of this browser's session.",
        "Load the page anew, and try again.",
    ))
}

/// Browsers say where a request was made (RFC 6454, section 7; Fetch Metadata): nowhere else than here. What is no browser says
/// nothing.
fn own_origin(headers: &HeaderMap, host: &str) -> Result<(), Problem> {
    let right = format!("https://{host}");
    let origin = headers.get_all(header::ORIGIN).iter().all(|origin| {
        // Host names are the same in capitals, and browsers write them small.
        origin.to_str().is_ok_and(|origin| origin.eq_ignore_ascii_case(&right))
    });
    let site = headers.get_all("sec-fetch-site").iter().all(|site| site == "same-origin" || site == "none");
    if origin && site {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "origin",
        "The request comes from another page",
        "The request was made by a page that is not the console's.",
        "Use the console's own pages.",
    ))
}

/// A form of another page cannot send JSON.
fn json_only(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(header::CONTENT_TYPE);
    let json = kind.is_none_or(|kind| {
        let kind = kind.to_str().unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("application/json")
    });
    if json {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "not-json",
        "The request is no JSON",
        "The request's body is of a kind that is not taken.",
        "Send application/json.",
    ))
}

pub(super) fn no_session() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "no-session",
        "Nobody has logged in",
        "You have not logged in, or your session is over.",
        "Log in; what you have typed stays on the page.",
    )
}
