//! What a simulated array is told while it runs, as lines of text. It never does what it reads.

use super::store::{Fault, Role};
use std::time::Duration;

/// The orders, for people.
pub const ORDERS: &str = "\
  well                      all faults off
  down, up                  refuse connections and cut those that there are; take them again
  slow SECONDS              answer that much later
  fault STATUS              answer everything with this status (500 to 599)
  page                      answer with a web page
  garbage                   answer with bytes that call themselves JSON
  endless                   answer with JSON that does not end
  forge, genuine            show another certificate with the same names; show one's own again
  approval on|off           want approved=true for whatever changes something
  forget                    forget all sessions now
  forget-after N|never      forget a session after N requests
  user NAME PASSWORD ROLE   make a user; roles are ADMIN, POOL_ADMIN, READ_ONLY, INFINIDAT, TECHNICIAN, with commas
  sso NAME ROLE             make a user who comes by single sign-on and has no password
  token NAME                log a user in, as single sign-on does; says the session's token
  lock NAME, unlock NAME    let a user in no more; let him in again
  lock-after N|never        lock a user after N wrong passwords in a row
  status                    says how it stands
  events                    says the events, a line each
";

/// An order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// All faults off.
    Well,
    /// Refuses connections (false), or takes them (true).
    Open(bool),
    /// Switches a fault on in place of another.
    Fault(Fault),
    /// Shows a forged certificate (true), or the array's own.
    Forge(bool),
    /// Wants approval for whatever changes something.
    Approval(bool),
    /// Forgets all sessions.
    Forget,
    /// Forgets each session after so many requests.
    ForgetAfter(Option<u32>),
    /// Makes a user, with a password or without.
    User(String, Option<String>, Vec<Role>),
    /// Logs a user in.
    Token(String),
    /// Locks a user (true), or unlocks him.
    Lock(String, bool),
    /// Locks each user after so many wrong passwords in a row.
    LockAfter(Option<u32>),
    /// How it stands.
    Status,
    /// The events.
    Events,
}

/// Why a line is no order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no order; they are:\n{ORDERS}")]
pub struct NoOrder(String);

impl Order {
    /// Reads a line.
    pub fn parse(line: &str) -> Result<Self, NoOrder> {
        let words: Vec<_> = line.split_whitespace().collect();
        let wrong = || NoOrder(words.first().map(ToString::to_string).unwrap_or_default());
        let count = |text: &str| match text {
            "never" => Ok(None),
            number => number.parse().map(Some).map_err(|_| wrong()),
        };
        let roles = |text: &str| {
            let all = text.split(',').map(|one| Role::parse(one).ok_or_else(wrong));
            all.collect::<Result<Vec<_>, _>>()
        };
        Ok(match words[..] {
            ["well"] => Self::Well,
            ["down"] => Self::Open(false),
            ["up"] => Self::Open(true),
            ["slow", seconds] => {
                Self::Fault(Fault::Slow(Duration::from_secs(seconds.parse().map_err(|_| wrong())?)))
            }
            ["fault", status] => {
                let status = status.parse().ok().filter(|status| (500..600).contains(status));
                Self::Fault(Fault::Status(status.ok_or_else(wrong)?))
            }
            ["page"] => Self::Fault(Fault::Page),
            ["garbage"] => Self::Fault(Fault::Garbage),
            ["endless"] => Self::Fault(Fault::Endless),
            ["forge"] => Self::Forge(true),
            ["genuine"] => Self::Forge(false),
            ["approval", "on"] => Self::Approval(true),
            ["approval", "off"] => Self::Approval(false),
            ["forget"] => Self::Forget,
            ["forget-after", number] => Self::ForgetAfter(count(number)?),
            ["user", name, password, list] => {
                Self::User(name.to_owned(), Some(password.to_owned()), roles(list)?)
            }
            ["sso", name, list] => Self::User(name.to_owned(), None, roles(list)?),
            ["token", name] => Self::Token(name.to_owned()),
            ["lock", name] => Self::Lock(name.to_owned(), true),
            ["unlock", name] => Self::Lock(name.to_owned(), false),
            ["lock-after", number] => Self::LockAfter(count(number)?),
            ["status"] => Self::Status,
            ["events"] => Self::Events,
            _ => return Err(wrong()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_order_that_is_told_to_people_is_understood() {
        for (line, order) in [
            ("well", Order::Well),
            ("down", Order::Open(false)),
            ("slow 5", Order::Fault(Fault::Slow(Duration::from_secs(5)))),
            ("fault 503", Order::Fault(Fault::Status(503))),
            ("forget-after 3", Order::ForgetAfter(Some(3))),
            ("forget-after never", Order::ForgetAfter(None)),
            ("sso eva READ_ONLY", Order::User("eva".into(), None, vec![Role::ReadOnly])),
            (
                "user anna secret ADMIN,POOL_ADMIN",
                Order::User("anna".into(), Some("secret".into()), vec![Role::Admin, Role::PoolAdmin]),
            ),
        ] {
            assert_eq!(Order::parse(line), Ok(order), "{line}");
        }
    }

    #[test]
    fn what_is_no_order_is_said_without_the_password_in_it() {
        for line in ["", "fly", "fault 200", "slow", "user anna secret KING", "lock-after many"] {
            let error = Order::parse(line).unwrap_err().to_string();
            assert!(error.contains("is no order") && !error.contains("secret"), "{line}: {error}");
        }
    }
}
