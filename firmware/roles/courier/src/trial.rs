//! A receiver, tried by hand: the same code as for events, and what each step came to. Nothing is tried twice.

use crate::bus::Asker;
use crate::receivers;
use drawbridge_audit::Kept;
use drawbridge_audit::event::{BootId, Clock, Draft, Event, Name, Outcome, Stamp, What, Who, WhoKind};
use drawbridge_audit::sink::mail::{self, Mailbox, Step};
use drawbridge_audit::sink::{Failure, Sink};
use drawbridge_bus::notify::{CourierOrders, NoticeStep, NoticeTest, Receiver};
use drawbridge_chain::Utc;
use std::time::{Duration, SystemTime};
use tokio::time::timeout;

/// So long a receiver may take.
const WITHIN: Duration = Duration::from_mins(2);

/// Tries a receiver.
pub(crate) async fn run(
    test: &NoticeTest,
    orders: &CourierOrders,
    asker: &Asker,
    array: u16,
) -> Vec<NoticeStep> {
    let (notices, secrets, system) = (&orders.notices, &orders.secrets, &orders.system);
    let made = match test.receiver {
        Receiver::Array => match &notices.array {
            Some(one) => match receivers::array(one, secrets.array.as_ref(), system, asker, array) {
                Ok(sink) => return vec![message(sink, test, "The array takes an event").await],
                Err(failure) => Some(failure),
            },
            None => None,
        },
        Receiver::Syslog => match &notices.syslog {
            Some(one) => match receivers::syslog(one, system, asker) {
                Ok(sink) => return vec![message(sink, test, "The server takes a message").await],
                Err(failure) => Some(failure),
            },
            None => None,
        },
        Receiver::Mail => match &notices.mail {
            Some(one) => match receivers::mail_config(one, secrets.mail.as_ref(), system, asker) {
                Ok(config) => {
                    let to = test.to.as_deref().or(one.to.first().map(String::as_str)).unwrap_or_default();
                    match Mailbox::parse(to) {
                        Ok(to) => return letter(&config, &to).await,
                        Err(error) => Some(Failure::new(&error.to_string(), "Correct the address.")),
                    }
                }
                Err(failure) => Some(failure),
            },
            None => None,
        },
    };
    let failure = made.unwrap_or_else(|| Failure::new("this receiver is not set", "Save it, then try it."));
    vec![failed("The settings", &failure)]
}

fn failed(title: &str, failure: &Failure) -> NoticeStep {
    NoticeStep {
        title: title.to_owned(),
        worked: false,
        detail: failure.what.as_str().to_owned(),
        remedy: failure.remedy.as_str().to_owned(),
    }
}

/// An event that is in no log, with the number 0.
fn trial_event(test: &NoticeTest) -> Kept {
    let what =
        What::DeliveryTested { target: Name::of(test.receiver.name()), outcome: Outcome::Done, why: None };
    let now =
        Stamp { time: Utc::of(SystemTime::now()), clock: Clock::Hardware, boot: BootId(0), monotonic_ms: 0 };
    Event::new(0, now, Draft::new(what, Who::new(WhoKind::Owner, &test.by))).into()
}

async fn message(mut sink: impl Sink, test: &NoticeTest, title: &str) -> NoticeStep {
    let late = || Failure::new("it has not taken it in time", "See whether it is overloaded; try again.");
    let delivered = timeout(WITHIN, sink.deliver(&[trial_event(test)])).await;
    let failure = delivered.map_or_else(|_| Some(late()), |(_, failure)| failure);
    match failure {
        Some(failure) => failed(title, &failure),
        None => NoticeStep {
            title: title.to_owned(),
            worked: true,
            detail: "It has taken a test message.".to_owned(),
            remedy: String::new(),
        },
    }
}

async fn letter(config: &mail::MailConfig, to: &Mailbox) -> Vec<NoticeStep> {
    let title = |step| match step {
        Step::Connection => "Connection",
        Step::Tls => "TLS",
        Step::Greeting => "The server's greeting",
        Step::Login => "Login",
        Step::Sender => "The sender is taken",
        Step::Recipient => "The recipient is taken",
        Step::Message => "The mail is taken",
    };
    match mail::trial(config, to).await {
        Ok(tried) => tried
            .into_iter()
            .map(|one| match one.failure {
                Some(failure) => failed(title(one.step), &failure),
                None => NoticeStep {
                    title: title(one.step).to_owned(),
                    worked: true,
                    detail: one.found.unwrap_or_default(),
                    remedy: String::new(),
                },
            })
            .collect(),
        Err(error) => vec![failed("The settings", &Failure::new(&error.to_string(), "Correct them."))],
    }
}
