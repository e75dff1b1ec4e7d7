//! Receivers as the audit's library knows them, made of the settings. Nothing is dialled here.

use crate::bus::{Asker, ByNetwork};
use drawbridge_array::{Address, Array, Password, Poster, Trust as ArrayTrust, UserName, Visibility};
use drawbridge_audit::Filter;
use drawbridge_audit::event::{Code, Severity};
use drawbridge_audit::sink::array::{ArraySink, Style, Wording};
use drawbridge_audit::sink::mail::{
    GATHER, HostName, Letterhead, Login, Mail, MailConfig, MailSecurity as Security, Mailbox,
};
use drawbridge_audit::sink::syslog::{Carrier, ENTERPRISE, Facility, Header, Syslog};
use drawbridge_audit::sink::{Failure, PlainDatagrams, Security as StreamSecurity, Way};
use drawbridge_bus::bridge::{SecretText, Verification};
use drawbridge_bus::notify::{
    ArrayNotices, ArrayStyle, CourierOrders, CourierSystem, Least, MailNotices, MailSecurity, SyslogCarrier,
    SyslogNotices,
};
use drawbridge_bus::support::Target;
use drawbridge_chain::Text;
use drawbridge_dial::{CertificateDer, Host, HostPort, Pin, Plain, Trust};
use std::fmt::Display;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The TCP ports of all receivers that are set.
pub(crate) fn ports(orders: &CourierOrders, array: u16) -> Vec<u16> {
    let notices = &orders.notices;
    let mut ports = Vec::new();
    ports.extend(notices.array.as_ref().map(|_| array));
    ports.extend(
        notices.syslog.as_ref().filter(|one| one.carrier != SyslogCarrier::Udp).map(|one| one.server.port),
    );
    ports.extend(notices.mail.as_ref().map(|one| one.server.port));
    ports
}

/// Which events: as bad as this, or worse.
pub(crate) fn filter(least: Least) -> Filter {
    Filter::at_least(match least {
        Least::Info => Severity::Info,
        Least::Notice => Severity::Notice,
        Least::Warning => Severity::Warning,
        Least::Error => Severity::Error,
        Least::Critical => Severity::Critical,
    })
}

/// Which events the array gets: the hashes of recordings and of the audit itself in any case, so that they stand where neither side
/// of a support session can take them away.
pub(crate) fn array_filter(least: Least) -> Filter {
    Filter { also: [Code::RecordingClosed, Code::AuditHead].into(), ..filter(least) }
}

/// Settings by which nothing can be sent.
fn wrong(error: &impl Display) -> Failure {
    Failure::new(&format!("the settings cannot be used: {error}"), "Correct them, and save them again.")
}

fn host_port(target: &Target) -> Result<HostPort, Failure> {
    let host = Host::parse(&target.host.to_string()).map_err(|error| wrong(&error))?;
    Ok(HostPort { host, port: target.port })
}

fn trust(verification: &Verification) -> Trust {
    Trust {
        built_in: verification.built_in,
        uploaded: verification.uploaded.iter().cloned().map(CertificateDer::from).collect(),
        pin: verification.key_pin.map(Pin::Key).or(verification.certificate_pin.map(Pin::Certificate)),
    }
}

fn way(target: &Target, asker: &Asker) -> Result<Way, Failure> {
    Ok(Way::new(host_port(target)?, Arc::new(ByNetwork(asker.clone())), Arc::new(Plain)))
}

/// The way to the array.
pub(crate) fn array(
    notices: &ArrayNotices,
    secret: Option<&SecretText>,
    system: &CourierSystem,
    asker: &Asker,
    port: u16,
) -> Result<ArraySink, Failure> {
    let host = Host::parse(&notices.host.to_string()).map_err(|error| wrong(&error))?;
    let trust = match notices.certificate {
        Some(pin) => ArrayTrust::Pin(pin),
        None => ArrayTrust::Uploaded(notices.uploaded.iter().cloned().map(CertificateDer::from).collect()),
    };
    let array = Array::new(Address { host, port }, trust, Arc::new(Plain)).map_err(|error| wrong(&error))?;
    let user = UserName::parse(&notices.user).map_err(|error| wrong(&error))?;
    let password = secret.map_or("", SecretText::reveal);
    let password = Password::parse(Zeroizing::new(password.to_owned())).map_err(|error| wrong(&error))?;
    let wording = Wording {
        style: match notices.style {
            ArrayStyle::Custom => Style::Custom,
            ArrayStyle::Codes => Style::Codes,
        },
        vendor: Text::of(&system.vendor),
        serial: Text::of(&system.serial),
        visibility: if notices.vendor_only { Visibility::Infinidat } else { Visibility::Customer },
    };
    let names = Arc::new(ByNetwork(asker.clone()));
    Ok(ArraySink::new(Poster::new(array, user, password), names, wording))
}

/// The way to the syslog server.
pub(crate) fn syslog(
    notices: &SyslogNotices,
    system: &CourierSystem,
    asker: &Asker,
) -> Result<Syslog, Failure> {
    let carrier = match notices.carrier {
        SyslogCarrier::Tls => Carrier::Stream(StreamSecurity::Tls(trust(&notices.verification))),
        SyslogCarrier::Tcp => Carrier::Stream(StreamSecurity::Plain),
        SyslogCarrier::Udp => Carrier::Datagrams(Arc::new(PlainDatagrams)),
    };
    let facility = Facility::new(notices.facility).ok_or_else(|| wrong(&"there is no such facility"))?;
    let header = Header {
        facility,
        host: system.name.clone(),
        enterprise: ENTERPRISE,
        version: system.version.clone(),
        serial: system.serial.clone(),
    };
    Ok(Syslog::new(way(&notices.server, asker)?, carrier, header))
}

/// How mail is sent.
pub(crate) fn mail_config(
    notices: &MailNotices,
    secret: Option<&SecretText>,
    system: &CourierSystem,
    asker: &Asker,
) -> Result<MailConfig, Failure> {
    let trust = || trust(&notices.verification);
    let login = notices.user.as_ref().map(|user| {
        let password = secret.map_or("", SecretText::reveal);
        Login::new(user.clone(), Zeroizing::new(password.to_owned()))
    });
    let mailbox = |text: &String| Mailbox::parse(text).map_err(|error| wrong(&error));
    Ok(MailConfig {
        way: way(&notices.server, asker)?,
        security: match notices.security {
            MailSecurity::StartTls => Security::StartTls(trust()),
            MailSecurity::Tls => Security::Implicit(trust()),
            MailSecurity::Plain => Security::Plain,
        },
        login: login.transpose().map_err(|error| wrong(&error))?,
        head: Letterhead {
            from: mailbox(&notices.from)?,
            system: Text::of(&system.name),
            serial: Text::of(&system.serial),
            host: HostName::of(&system.name),
        },
        to: notices.to.iter().map(mailbox).collect::<Result<_, _>>()?,
        gather: GATHER,
    })
}

/// The way to people's mail.
pub(crate) fn mail(
    notices: &MailNotices,
    secret: Option<&SecretText>,
    system: &CourierSystem,
    asker: &Asker,
) -> Result<Mail, Failure> {
    Mail::new(mail_config(notices, secret, system, asker)?).map_err(|error| wrong(&error))
}
