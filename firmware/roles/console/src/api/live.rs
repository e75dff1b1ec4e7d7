//! The calls by which an engineer's terminals are looked at while he works. What comes is text and colours: no escape sequence gets
//! this far.

use super::answer::ok;
use super::problem::{Problem, unexpected};
use super::{Api, Done, recordings};
use drawbridge_bus::client::CallError;
use drawbridge_bus::record::{LiveRecording, LiveScreen, RecordingId, ScreenColour, ScreenLook, ScreenRun};
use drawbridge_bus::{Refusal, Reply, Request, Role};
use hyper::StatusCode;
use serde_json::{Value, json};

/// What runs now, with its terminals.
pub(crate) async fn list(api: &Api) -> Result<Value, Problem> {
    match api.ask(Role::Recorder, Request::Live).await? {
        Reply::Live(running) => Ok(json!({ "live": running.iter().map(running_json).collect::<Vec<_>>() })),
        other => Err(unexpected(&other)),
    }
}

fn running_json(one: &LiveRecording) -> Value {
    json!({
        "id": one.id.as_str(),
        // Larger than what browsers count exactly.
        "connection": one.connection.to_string(),
        "facts": recordings::facts_json(&one.facts),
        "seconds": one.milliseconds / 1000,
        "failed": one.failed,
        "channels": one.channels.iter().map(|channel| json!({
            "channel": channel.channel,
            "command": channel.command,
            "columns": channel.size.0,
            "rows": channel.size.1,
        })).collect::<Vec<_>>(),
    })
}

/// A terminal, or what is different of it, as a query asks for it: `channel=N&after=REVISION`.
pub(crate) async fn screen(api: &Api, id: &str, query: &str) -> Done {
    let id = RecordingId::parse(id).ok_or_else(Problem::not_found)?;
    let wrong = || Problem::field("query", "this is not asked for so", "as in channel=1&after=0");
    let (mut channel, mut after) = (None, 0);
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("channel", text)) => channel = Some(text.parse().map_err(|_| wrong())?),
            Some(("after", text)) => after = text.parse().map_err(|_| wrong())?,
            _ => return Err(wrong()),
        }
    }
    let channel = channel.ok_or_else(wrong)?;
    match api.asker.call(Role::Recorder, Request::Screen { id, channel, after }).await {
        Ok(Reply::Screen(screen)) => Ok(ok(&screen_json(&screen))),
        Ok(other) => Err(unexpected(&other)),
        Err(CallError::Refused(_, Refusal::NotNow)) => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "gone",
            "The terminal is closed",
            "This terminal is not there any more.",
            "See which are; what was on it is in the recording.",
        )),
        Err(error) => Err(error.into()),
    }
}

fn screen_json(screen: &LiveScreen) -> Value {
    json!({
        "revision": screen.revision,
        "more": screen.more,
        "behind": screen.behind,
        "columns": screen.size.0,
        "rows": screen.size.1,
        "cursor": screen.cursor.map(|(column, row)| json!({ "column": column, "row": row })),
        "over": screen.over,
        "changed": screen.rows.iter().map(|row| json!({
            "row": row.row,
            "runs": row.runs.iter().map(run_json).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    })
}

/// `[text, columns]`, and a third part when it does not look as all else does.
pub(super) fn run_json(run: &ScreenRun) -> Value {
    if run.look == ScreenLook::default() {
        json!([run.text, run.columns])
    } else {
        json!([run.text, run.columns, look_json(run.look)])
    }
}

fn look_json(look: ScreenLook) -> Value {
    let mut value = serde_json::Map::new();
    for (name, is) in [
        ("bold", look.bold),
        ("dim", look.dim),
        ("italic", look.italic),
        ("underline", look.underline),
        ("inverse", look.inverse),
    ] {
        if is {
            value.insert(name.to_owned(), true.into());
        }
    }
    for (name, colour) in [("foreground", look.foreground), ("background", look.background)] {
        match colour {
            ScreenColour::Default => {}
            ScreenColour::Indexed(number) => drop(value.insert(name.to_owned(), number.into())),
            ScreenColour::Rgb(red, green, blue) => {
                value.insert(name.to_owned(), json!([red, green, blue]));
            }
        }
    }
    Value::Object(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_all_else_is_told_in_short() {
        let plain = ScreenRun { text: "ls".to_owned(), columns: 2, look: ScreenLook::default() };
        assert_eq!(run_json(&plain), json!(["ls", 2]));
        let look = ScreenLook {
            foreground: ScreenColour::Indexed(2),
            background: ScreenColour::Rgb(1, 2, 3),
            bold: true,
            ..ScreenLook::default()
        };
        let coloured = ScreenRun { look, ..plain };
        assert_eq!(
            run_json(&coloured),
            json!(["ls", 2, { "bold": true, "foreground": 2, "background": [1, 2, 3] }])
        );
    }
}
