//! One line of QMP as a message. It never keeps state.

use serde_json::Value;
use std::time::Duration;

/// Something that happened in the machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Such as `SHUTDOWN`, `RESET`, `WATCHDOG`, `DEVICE_DELETED`.
    pub name: String,
    /// What QEMU says about it: an object, or null.
    pub data: Value,
    /// When, since 1970.
    pub at: Duration,
}

/// What a command returns, or the class and description of its error.
pub(super) type Answer = Result<Value, (String, String)>;

/// What QEMU sends (the protocol's specification, `docs/interop/qmp-spec` in QEMU's source).
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Message {
    Greeting,
    Reply { id: u64, reply: Answer },
    Event(Event),
}

pub(super) fn parse(line: &[u8]) -> Result<Message, String> {
    let quote = || String::from_utf8_lossy(line.get(..line.len().min(200)).unwrap_or_default()).into_owned();
    let Ok(Value::Object(mut message)) = serde_json::from_slice::<Value>(line) else { return Err(quote()) };
    if message.contains_key("QMP") {
        return Ok(Message::Greeting);
    }
    if let Some(name) = message.get("event").and_then(Value::as_str).map(str::to_owned) {
        let part = |unit: &str| {
            let value = message.get("timestamp").and_then(|stamp| stamp.get(unit));
            value.and_then(Value::as_u64).unwrap_or_default()
        };
        let micros = Duration::from_micros(part("microseconds"));
        let at = Duration::from_secs(part("seconds")).saturating_add(micros);
        return Ok(Message::Event(Event { name, data: message.remove("data").unwrap_or_default(), at }));
    }
    // An answer to a line that QEMU could not read has no id. The lab sends none such.
    let Some(id) = message.get("id").and_then(Value::as_u64) else { return Err(quote()) };
    if let Some(error) = message.get("error") {
        let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        return Ok(Message::Reply { id, reply: Err((text("class"), text("desc"))) });
    }
    message.remove("return").map(|value| Message::Reply { id, reply: Ok(value) }).ok_or_else(quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_line_is_known() {
        assert_eq!(parse(br#"{"QMP": {"capabilities": ["oob"]}}"#), Ok(Message::Greeting));
        assert_eq!(
            parse(br#"{"return": {"a": 1}, "id": 7}"#),
            Ok(Message::Reply { id: 7, reply: Ok(serde_json::json!({"a": 1})) })
        );
        let Ok(Message::Event(event)) =
            parse(br#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}"#)
        else {
            panic!("no event")
        };
        assert_eq!((event.name.as_str(), event.at), ("STOP", Duration::from_micros(1_000_002)));
        assert_eq!(event.data, Value::Null);
    }

    #[test]
    fn what_is_no_message_is_refused_with_its_beginning() {
        for odd in [&b""[..], b"x", b"[]", b"{}", b"7", br#"{"id": 7}"#, br#"{"return": {}}"#, b"\xff\xfe"] {
            assert!(parse(odd).is_err(), "{odd:?}");
        }
        assert!(parse(&[b'x'; 10_000]).unwrap_err().len() <= 200);
    }
}
