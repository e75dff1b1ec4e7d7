//! The console's pages: files that are part of the binary, whole and compressed. They hold no secret, and nothing of this appliance.

use crate::body::Body;
use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, Response};

/// A file.
struct Page {
    /// Where it is.
    path: &'static str,
    /// Its media type.
    kind: &'static str,
    /// As it is.
    whole: &'static [u8],
    /// By gzip (RFC 1952).
    packed: &'static [u8],
}

static PAGES: &[Page] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// The page at a path, if there is one.
pub(crate) fn find(path: &str, headers: &HeaderMap) -> Option<Response<Body>> {
    let path = if path == "/" { "/index.html" } else { path };
    let page = PAGES.iter().find(|page| page.path == path)?;
    let packed = accepts_gzip(headers);
    let mut response = Response::new(Body::full(if packed { page.packed } else { page.whole }));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(page.kind));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if packed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Some(response)
}

/// RFC 9110, section 12.5.3: named, or any, and not with a weight of nothing.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let weight = |wanted: &str| {
        headers
            .get_all(header::ACCEPT_ENCODING)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .find_map(|coding| {
                let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
                let nothing = parameters
                    .trim()
                    .strip_prefix("q=")
                    .is_some_and(|weight| weight.bytes().all(|byte| matches!(byte, b'0' | b'.')));
                name.trim().eq_ignore_ascii_case(wanted).then_some(!nothing)
            })
    };
    weight("gzip").or_else(|| weight("*")).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(encoding: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_str(encoding).unwrap())])
    }

    #[test]
    fn pages_are_compressed_for_whoever_takes_that() {
        for (encoding, packed) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("*", true),
            ("gzip;q=0", false),
            ("gzip;q=0.0, *", false),
            ("br", false),
            ("", false),
        ] {
            let page = find("/", &asking(encoding)).unwrap();
            assert_eq!(page.headers().contains_key(header::CONTENT_ENCODING), packed, "{encoding}");
        }
    }

    #[test]
    fn all_pages_together_are_below_a_hundred_kilobytes() {
        let bytes: usize = PAGES.iter().map(|page| page.packed.len()).sum();
        assert!(bytes <= 100_000, "{bytes}");
        assert!(PAGES.iter().any(|page| page.path == "/index.html"));
    }

    #[test]
    fn a_path_is_a_file_of_the_list_and_nothing_else() {
        for path in [
            "/../Cargo.toml",
            "/pages/index.html",
            "/index.html/",
            "//index.html",
            "/INDEX.HTML",
            "/%2e/index.html",
            "",
        ] {
            assert!(find(path, &HeaderMap::new()).is_none(), "{path}");
        }
    }
}
