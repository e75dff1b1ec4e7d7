//! Addresses with ports and other single values, from text to the bus's types. What is wrong is told by its field.

use drawbridge_bus::support::Target;
use drawbridge_settings::network::Host;
use drawbridge_settings::{FieldError, Wrong};
use std::str::FromStr;

/// Every fault that was found on the way.
pub(super) type Faults = Vec<FieldError>;

/// A value that may be left out.
pub(super) fn optional<T: FromStr<Err = Wrong>>(
    field: &str,
    text: Option<&str>,
    faults: &mut Faults,
) -> Option<T> {
    let text = text.map(str::trim).filter(|text| !text.is_empty())?;
    text.parse::<T>().map_err(|wrong| faults.push(wrong.at(field))).ok()
}

/// Values, each of which has its own fault.
pub(super) fn list<T: FromStr<Err = Wrong>>(field: &str, texts: &[String], faults: &mut Faults) -> Vec<T> {
    let mut read = Vec::new();
    for (number, text) in texts.iter().enumerate() {
        match text.trim().parse::<T>() {
            Ok(value) => read.push(value),
            Err(wrong) => faults.push(wrong.at(&format!("{field}[{number}]"))),
        }
    }
    read
}

/// The same of several, each with its port.
pub(super) fn targets(field: &str, texts: &[String], faults: &mut Faults) -> Vec<Target> {
    let each = texts.iter().enumerate();
    each.filter_map(|(number, text)| target(&format!("{field}[{number}]"), text, None, faults)).collect()
}

/// `host:port`, with an IPv6 address in brackets when there is a port; without a port where there is one that is usual.
pub(super) fn target(field: &str, text: &str, usual: Option<u16>, faults: &mut Faults) -> Option<Target> {
    let text = text.trim();
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, rest.strip_prefix(':').or(Some(""))),
        // More than one colon: an IPv6 address without a port.
        None if text.matches(':').count() > 1 => (text, None),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        None => usual,
        Some(text) => {
            let port = text
                .parse()
                .ok()
                .filter(|port| *port != 0 && text.bytes().all(|digit| digit.is_ascii_digit()));
            if port.is_none() {
                let right = "a port from 1 to 65535, as in host:443";
                faults.push(FieldError::new(field, "behind the colon is no TCP port", right));
                return None;
            }
            port
        }
    };
    let Some(port) = port else {
        faults.push(FieldError::new(
            field,
            "there is no port",
            "an address and a port, as in node.example:22",
        ));
        return None;
    };
    let host = host.parse::<Host>().map_err(|wrong| faults.push(wrong.at(field))).ok()?;
    Some(Target { host, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_all_kinds_are_read() {
        let mut faults = Vec::new();
        for (text, host, port) in [
            ("[2001:db8::1]:8443", "2001:db8::1", 8443),
            ("2001:db8::1", "2001:db8::1", 443),
            ("[2001:db8::1]", "2001:db8::1", 443),
            (" 192.0.2.1:1 ", "192.0.2.1", 1),
            ("rss.example", "rss.example", 443),
        ] {
            let read = target("x", text, Some(443), &mut faults);
            assert_eq!(read, Some(Target { host: host.parse().unwrap(), port }), "{text}");
        }
        assert!(faults.is_empty());
        for text in ["rss.example:", "rss.example:65536", "[::1]x", "[::1", "", ":443", "https://rss.example"]
        {
            assert_eq!(target("x", text, Some(443), &mut faults), None, "{text}");
        }
        assert_eq!(faults.len(), 7);
    }
}
