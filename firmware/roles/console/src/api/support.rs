//! The calls for the array's own pages (feature A13): each bears the administrator's credentials, and there is no cookie. They do what
//! the console's pages do, and no more.

use super::access;
use super::answer::{json, ok, parse};
use super::asked::{Asked, AskedPath, AskedProxy};
use super::browser::{Person, Rank};
use super::problem::Problem;
use super::{Api, Asks, Done, bridge};
use drawbridge_array::SSO;
use drawbridge_bus::bridge::SecretText;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Open {
    user: String,
    password: SecretText,
    #[serde(default)]
    token: Option<SecretText>,
    #[serde(default)]
    server: Option<String>,
    secret: SecretText,
    minutes: u32,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    proxy: Option<AskedProxy>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    user: String,
    password: SecretText,
    #[serde(default)]
    token: Option<SecretText>,
}

impl Credentials {
    async fn person(&self, api: &Api, asks: &Asks<'_>) -> Result<Person, Problem> {
        access::by_array(api, asks, &self.user, &self.password, self.token.as_ref()).await
    }

    async fn admin(&self, api: &Api, asks: &Asks<'_>) -> Result<Person, Problem> {
        let person = self.person(api, asks).await?;
        if person.rank == Rank::Admin { Ok(person) } else { Err(super::array::no_role()) }
    }
}

/// Lowers the bridge.
pub(crate) async fn open(api: &Api, asks: &Asks<'_>, body: &[u8]) -> Done {
    let Open { user, password, token, server, secret, minutes, name, proxy } = parse(body)?;
    let sso = password.reveal() == SSO;
    let kept = bridge::last_server(api);
    let server = match (server.filter(|server| !server.trim().is_empty()), kept) {
        // The guide: who came to the array by single sign-on does not say where the bridge leads.
        (Some(server), kept) if sso && kept.as_deref() != Some(server.trim()) => {
            log::warn!("a call by single sign-on named another server, and is refused");
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "sso-server",
                "The server's address cannot be changed so",
                "Somebody who has come by single sign-on cannot change the server's address.",
                "Leave it out, or use a user name and password of the array.",
            ));
        }
        (Some(server), _) | (None, Some(server)) => server,
        (None, None) => {
            return Err(Problem::field("server", "no server is known yet", "an address, as rss.example:443"));
        }
    };
    let person = Credentials { user, password, token }.admin(api, asks).await?;
    let name = name.unwrap_or_else(|| format!("Opened at the array by {}", person.name));
    let asked = Asked::simple(name, minutes, secret, AskedPath::simple(server, proxy));
    let mut answer = bridge::open_asked(api, &person, asked).await?;
    // What it has come to so far; the rest is asked for by its own call.
    if answer.status() == StatusCode::CREATED {
        let status = bridge::status(api).await?;
        let grant = status["grant"]["id"].clone();
        answer = json(StatusCode::CREATED, &json!({ "grant": grant, "state": status["state"] }));
    }
    Ok(answer)
}

/// Where the bridge stands.
pub(crate) async fn status(api: &Api, asks: &Asks<'_>, body: &[u8]) -> Done {
    let credentials: Credentials = parse(body)?;
    credentials.person(api, asks).await?;
    Ok(ok(&bridge::status(api).await?))
}

/// Raises the bridge.
pub(crate) async fn terminate(api: &Api, asks: &Asks<'_>, body: &[u8]) -> Done {
    let credentials: Credentials = parse(body)?;
    let person = credentials.admin(api, asks).await?;
    bridge::close(api, &person).await
}
