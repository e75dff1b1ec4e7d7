//! What to do about each failure, in one sentence for an administrator; it never says what happened.

use crate::error::{CertificateFailure, DialError, Failure};
use crate::reply::Garbage;
use crate::reply::socks5::Refusal;
use crate::step::Stage;

impl DialError {
    /// What to do, as a sentence.
    pub fn remedy(&self) -> &'static str {
        let through = matches!(self.stage, Stage::Tls { through: true, .. });
        match &self.failure {
            Failure::NameUnknown(_) => "Correct the name, or ask another DNS server.",
            Failure::NameFailed(_) => "Check the DNS servers and the way to them, or give an address.",
            Failure::NoIpv4 => "Use SOCKS5, or give a target with an IPv4 address.",
            Failure::Refused => {
                "Check address and port, and that the service runs there; a firewall may refuse as well."
            }
            Failure::Unreachable => "Check the appliance's address, gateway and cable.",
            Failure::Filtered => "Choose a port of the appliance whose role allows outgoing connections.",
            Failure::TimedOut(_) | Failure::Unanswered => self.late(),
            Failure::Closed => {
                "Something on the way ends the connection: check firewalls, and what listens there."
            }
            Failure::Kernel(_) => "Try again, and report it if it stays.",
            Failure::ColonInUser => "Use a user's name without a colon at this proxy.",
            Failure::WantsCredentials(_) => {
                "Set user and password for the proxy, or have it admit the appliance's address."
            }
            Failure::CredentialsRefused => {
                "Correct user and password for the proxy; they may have expired or be locked."
            }
            Failure::OtherAuthentication(_) => {
                "Have Basic allowed for the appliance at the proxy, or its address admitted without credentials."
            }
            Failure::TargetForbidden | Failure::Socks5(Refusal::Forbidden) => {
                "Have the proxy's rules allow CONNECT to this host and port."
            }
            Failure::Redirect(_) => {
                "This is a login page or a web server: have the appliance admitted, or correct the proxy."
            }
            Failure::NoConnect(_) => "Check the proxy's address and port, and that it allows CONNECT.",
            Failure::NotAProxy(Garbage::Tls) => "Choose a proxy over TLS, or correct the proxy's port.",
            Failure::NotAProxy(Garbage::Http) => {
                "Choose HTTP as the proxy's kind, or correct the proxy's port."
            }
            Failure::NotAProxy(_) => "Choose the proxy's right kind, or correct its address and port.",
            Failure::ProxyClosed => {
                "Check the proxy's kind and port, that it admits the appliance's address, and the relays before it."
            }
            Failure::Socks4Refused => "Check the proxy's rules and the target; SOCKS5 would tell more.",
            Failure::Socks4NoIdent | Failure::Socks4OtherUser => {
                "Have the proxy admit the appliance without an ident service, correct the user, or use SOCKS5."
            }
            Failure::Socks5(Refusal::Command | Refusal::AddressKind) => {
                "Use another proxy or protocol, or give the target's address in place of its name."
            }
            Failure::Status(_) | Failure::Socks5(Refusal::General | Refusal::Other(_)) => {
                "Look into the proxy's log for the reason."
            }
            Failure::TargetUnreachable(_) | Failure::Socks5(_) => {
                "Check the target's name and port, and that the proxy itself may go out and finds names."
            }
            Failure::Certificate(failure) => certificate(failure),
            Failure::NoCommonVersion => {
                "Have TLS 1.2 or 1.3 switched on there, or whatever intercepts TLS on the way renewed."
            }
            Failure::NothingInCommon => {
                "Have current cipher suites switched on there; an intercepting device may be too old."
            }
            Failure::NoProtocol => {
                "Check that this is the Remote Support Server, and that nothing on the way takes TLS apart."
            }
            Failure::Alert(_) => {
                "Look into the server's log for the reason; a device on the way may have sent it."
            }
            Failure::NotTls => {
                "Check address and port: another service listens there, or a device on the way answers."
            }
            Failure::ClosedInHandshake if through => {
                "Check that each relay reaches the next, and the last the target; else a firewall ends TLS connections."
            }
            Failure::ClosedInHandshake => {
                "Check the service there; a firewall on the way may end TLS connections of its kind."
            }
            Failure::BrokenTls(_) => {
                "Something on the way changes what is sent, or the server is faulty: report it."
            }
            Failure::Trust(_) => "Give roots or a pin.",
        }
    }

    fn late(&self) -> &'static str {
        match self.stage {
            Stage::Names(_) => "Check the DNS servers and the way to them, or give an address.",
            Stage::Tcp(_) => {
                "Check the address; a firewall on the way may drop the connection without a word."
            }
            Stage::Proxy { .. } => {
                "Check that the proxy itself may go out, and that it is a proxy of the kind that is set."
            }
            Stage::Tls { through: true, .. } => {
                "Check that each relay reaches the next, and the last the target; else a firewall holds TLS back."
            }
            Stage::Tls { .. } | Stage::ProxyTls(_) => {
                "Check that TLS is spoken there; a firewall may hold it back."
            }
            Stage::Whole(_) => "Look at the steps before for the one that takes so long.",
        }
    }
}

fn certificate(failure: &CertificateFailure) -> &'static str {
    match failure {
        CertificateFailure::UntrustedIssuer { .. } => {
            "If this issuer is your own device that intercepts TLS, exempt this target there, or upload its root; else do not go on."
        }
        CertificateFailure::Expired { .. } | CertificateFailure::NotYetValid { .. } => {
            "Check the appliance's clock; if it is right, the server's certificate has to be renewed."
        }
        CertificateFailure::WrongName { .. } => {
            "Correct the name that is expected, or the address: this is another server."
        }
        CertificateFailure::PinMismatch { .. } => {
            "Ask the server's owner whether its key was changed, and by a way of its own; until then do not go on."
        }
        CertificateFailure::Revoked => "Do not go on; the server's owner has to replace it.",
        CertificateFailure::Unreadable | CertificateFailure::Other { .. } => {
            "Have the server's certificate replaced, or pin it if it is right."
        }
    }
}
