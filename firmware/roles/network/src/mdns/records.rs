//! The records of one port: what is said about this system on its link. Pure.

use hickory_proto::ProtoError;
use hickory_proto::rr::rdata::{A, AAAA, NULL, PTR, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::net::IpAddr;

/// The time to live of what depends on the host's name or addresses (RFC 6762, section 10), in seconds.
const HOST_SECONDS: u32 = 120;
/// The time to live of everything else, in seconds: 75 minutes.
const OTHER_SECONDS: u32 = 4500;
/// The most addresses of a port that are told. All records of a port fit into one Ethernet frame.
const ADDRESSES_MOST: usize = 12;
/// The most bytes of the service's text, all pairs together.
const TEXT_BYTES: usize = 512;
/// The longest host label: 63 bytes (RFC 1035, section 2.3.4) with room for any number behind it.
const LABEL_BYTES: usize = 52;
/// The host label where none can be made of what was given.
const LABEL: &str = "drawbridge";

/// The service that is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its kind, as `_drawbridge._tcp` is `drawbridge`: at most 15 letters, digits and hyphens (RFC 6335, section 5.1).
    pub kind: String,
    /// The TCP port.
    pub port: u16,
    /// What else is told, as keys and values. Beyond 512 bytes, or 255 in a pair, the rest is left out.
    pub text: Vec<(String, String)>,
}

/// One record, and whether it is ours alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) record: Record,
    pub(super) unique: bool,
}

/// All that is said on one port under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) host: Name,
    pub(super) instance: Name,
    pub(super) own: Vec<Own>,
    /// What there is of the unique names, and by that what there is not: the host's, then the instance's.
    pub(super) negative: [Record; 2],
}

/// A host label made of a name: its first part, in lower case, with what a label may not have made hyphens.
pub fn host_label(name: &str) -> String {
    let first = name.split('.').next().unwrap_or_default();
    let letters = first.chars().take(LABEL_BYTES).map(|c| match c {
        c if c.is_ascii_alphanumeric() => c.to_ascii_lowercase(),
        _ => '-',
    });
    let label: String = letters.collect();
    match label.trim_matches('-') {
        "" => LABEL.to_owned(),
        label => label.to_owned(),
    }
}

impl Records {
    /// The records under the `attempt`th name, counted from 1: `name`, `name-2`, `name-3`.
    pub(super) fn new(
        label: &str,
        attempt: u32,
        service: &Service,
        addresses: &[IpAddr],
    ) -> Result<Records, ProtoError> {
        let label = host_label(label);
        let label = if attempt > 1 { format!("{label}-{attempt}") } else { label };
        let local = |labels: &[&str]| {
            Name::from_labels(labels.iter().chain(&["local"]).map(|label| label.as_bytes()))
        };
        let host = local(&[&label])?;
        let kind_label = format!("_{}", service.kind);
        let kind = local(&[&kind_label, "_tcp"])?;
        let instance = local(&[&label, &kind_label, "_tcp"])?;
        let all_kinds = local(&["_services", "_dns-sd", "_udp"])?;

        let unique = |name: &Name, seconds, data| {
            let mut record = Record::from_rdata(name.clone(), seconds, data);
            record.mdns_cache_flush = true;
            Own { record, unique: true }
        };
        let shared = |name: &Name, data| Own {
            record: Record::from_rdata(name.clone(), OTHER_SECONDS, data),
            unique: false,
        };
        let mut own = vec![
            shared(&kind, RData::PTR(PTR(instance.clone()))),
            shared(&all_kinds, RData::PTR(PTR(kind.clone()))),
            unique(&instance, HOST_SECONDS, RData::SRV(SRV::new(0, 0, service.port, host.clone()))),
            unique(&instance, OTHER_SECONDS, RData::TXT(text(&service.text))),
        ];
        for address in addresses.iter().take(ADDRESSES_MOST) {
            let data = match address {
                IpAddr::V4(address) => RData::A(A(*address)),
                IpAddr::V6(address) => RData::AAAA(AAAA(*address)),
            };
            own.push(unique(&host, HOST_SECONDS, data));
        }
        let negative = [&host, &instance].map(|name| {
            let mine = own.iter().filter(|own| own.record.name == *name);
            let types: Vec<u16> = mine.map(|own| own.record.record_type().into()).collect();
            unique(name, HOST_SECONDS, next_secure(name, &types)).record
        });
        Ok(Records { host, instance, own, negative })
    }

    /// The place of that record among ours.
    pub(super) fn place(&self, record: &Record) -> Option<usize> {
        self.own.iter().position(|own| own.record.name == record.name && own.record.data == record.data)
    }

    /// Whether somebody else's record says otherwise than ours about a name that is ours alone.
    pub(super) fn contradicts(&self, record: &Record) -> bool {
        self.is_unique(&record.name)
            && self
                .own
                .iter()
                .any(|own| own.record.name == record.name && own.record.record_type() == record.record_type())
            && self.place(record).is_none()
    }

    /// Whether nobody else may have that name.
    pub(super) fn is_unique(&self, name: &Name) -> bool {
        *name == self.host || *name == self.instance
    }
}

fn text(pairs: &[(String, String)]) -> TXT {
    let mut strings: Vec<String> = Vec::new();
    let mut bytes = 0;
    for (key, value) in pairs {
        let pair = format!("{key}={value}");
        bytes += pair.len() + 1;
        if pair.len() > usize::from(u8::MAX) || bytes > TEXT_BYTES {
            break;
        }
        strings.push(pair);
    }
    // No text at all is one empty string (RFC 6763, section 6.1).
    if strings.is_empty() {
        strings.push(String::new());
    }
    TXT::new(strings)
}

/// The record that says which types a name has (RFC 6762, section 6.1): its own name, then a bitmap of the types below
/// 256. Written by hand: the codec has it only together with DNSSEC.
fn next_secure(name: &Name, types: &[u16]) -> RData {
    let mut bytes = Vec::new();
    for label in name {
        bytes.push(u8::try_from(label.len()).unwrap_or_default());
        bytes.extend_from_slice(label);
    }
    bytes.push(0);
    let mut bitmap = [0_u8; 32];
    for kind in types {
        if let Some(byte) = bitmap.get_mut(usize::from(kind / 8)) {
            *byte |= 0x80 >> (kind % 8);
        }
    }
    let used = bitmap.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if used > 0 {
        bytes.extend_from_slice(&[0, u8::try_from(used).unwrap_or_default()]);
        bytes.extend_from_slice(&bitmap[..used]);
    }
    RData::Unknown { code: RecordType::NSEC, rdata: NULL::with(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_becomes_a_label() {
        assert_eq!(host_label("SA-0042.example.com"), "sa-0042");
        assert_eq!(host_label("my appliance"), "my-appliance");
        assert_eq!(host_label("--"), "drawbridge");
        assert_eq!(host_label(""), "drawbridge");
        assert_eq!(host_label("ü"), "drawbridge");
        assert_eq!(host_label(&"x".repeat(300)).len(), LABEL_BYTES);
    }

    #[test]
    fn all_records_of_a_port_fit_into_one_frame() {
        let service = Service {
            kind: "drawbridge".to_owned(),
            port: 9000,
            text: (0..100).map(|key| (format!("key{key}"), "value".repeat(10))).collect(),
        };
        let addresses: Vec<IpAddr> =
            (0..99).map(|last| IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, last])).collect();
        let records = Records::new(&"x".repeat(99), u32::MAX, &service, &addresses).unwrap();
        let mut message = super::super::message::new(hickory_proto::op::MessageType::Response);
        message.add_answers(records.own.into_iter().map(|own| own.record));
        let length = message.to_vec().unwrap().len();
        assert!(length <= 1440, "{length}");
    }

    #[test]
    fn what_a_name_has_not_is_said_in_bits() {
        let name = Name::from_labels(["a".as_bytes(), b"local"]).unwrap();
        let RData::Unknown { rdata, .. } = next_secure(&name, &[1, 28]) else { panic!() };
        assert_eq!(rdata.anything, [1, b'a', 5, b'l', b'o', b'c', b'a', b'l', 0, 0, 4, 0x40, 0, 0, 8]);
    }
}
