//! A DNS question out of a message, and an answer into one (RFC 1035 section 4). It never decides what is true.

use super::DnsRecords;

/// The header's length.
const HEADER: usize = 12;

/// Types (RFC 1035 section 3.2.2, RFC 3596).
pub(super) const A: u16 = 1;
pub(super) const CNAME: u16 = 5;
pub(super) const SOA: u16 = 6;
pub(super) const AAAA: u16 = 28;

/// Aliases of aliases are followed this far.
const ALIASES: usize = 8;

/// What a plain datagram may hold (RFC 1035 section 2.3.4).
const PLAIN_LIMIT: usize = 512;

/// Response codes.
pub(super) mod code {
    pub(in super::super) const NONE: u8 = 0;
    pub(in super::super) const SERVER_FAILURE: u8 = 2;
    pub(in super::super) const NO_SUCH_NAME: u8 = 3;
    pub(in super::super) const REFUSED: u8 = 5;
}

/// A query with its one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) id: [u8; 2],
    /// The first byte of the flags.
    flags: u8,
    /// In lower case, without the last dot.
    pub(super) name: String,
    pub(super) kind: u16,
    /// As it was asked, with its capitals.
    pub(super) question: Vec<u8>,
    /// The longest datagram that the client takes (RFC 6891).
    pub(super) limit: usize,
}

/// A client's query; none when it is no query of one question of the internet's class.
pub(super) fn parse(message: &[u8]) -> Option<Query> {
    let (header, body) = message.split_first_chunk::<HEADER>()?;
    let [id0, id1, flags, _, 0, 1, ..] = *header else { return None };
    // A response, or another operation than a query.
    if flags & 0xf8 != 0 {
        return None;
    }
    let mut labels: Vec<String> = Vec::new();
    let mut rest = body;
    loop {
        let (length, after) = rest.split_first()?;
        if *length == 0 {
            rest = after;
            break;
        }
        // A question needs no pointers (lengths over 63).
        if *length > 63 || labels.len() > 127 {
            return None;
        }
        let (label, after) = after.split_at_checked(usize::from(*length))?;
        labels.push(String::from_utf8_lossy(label).to_lowercase());
        rest = after;
    }
    let (tail, additional) = rest.split_first_chunk::<4>()?;
    let [kind0, kind1, 0, 1] = *tail else { return None };
    let asked = body.len() - additional.len();
    Some(Query {
        id: [id0, id1],
        flags,
        name: labels.join("."),
        kind: u16::from_be_bytes([kind0, kind1]),
        question: body.get(..asked)?.to_vec(),
        limit: limit(additional),
    })
}

/// Of an OPT record, if it is the first behind the question (a root name, type 41, the size).
fn limit(additional: &[u8]) -> usize {
    match additional {
        [0, 0, 41, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])).max(PLAIN_LIMIT),
        _ => PLAIN_LIMIT,
    }
}

/// An answer in the making.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) id: [u8; 2],
    pub(super) question: Vec<u8>,
    flags: u8,
    pub(super) code: u8,
    pub(super) truncated: bool,
    records: Vec<Vec<u8>>,
    authorities: Vec<Vec<u8>>,
}

impl Answer {
    /// Without records.
    pub(super) fn empty(query: &Query, code: u8) -> Self {
        Self {
            id: query.id,
            question: query.question.clone(),
            flags: query.flags,
            code,
            truncated: false,
            records: Vec::new(),
            authorities: Vec::new(),
        }
    }

    /// What the table says.
    pub(super) fn from_records(query: &Query, table: &DnsRecords) -> Self {
        let mut answer = Self::empty(query, code::NONE);
        let mut name = query.name.clone();
        for _ in 0..ALIASES {
            for data in table.of(&name, query.kind) {
                answer.records.push(record(&name, query.kind, table.ttl, data));
            }
            let alias = table.of(&name, CNAME).next().filter(|_| query.kind != CNAME);
            let Some(target) = alias.and_then(|data| read_name(data)) else { break };
            answer.records.push(record(&name, CNAME, table.ttl, &write_name(&target)));
            name = target;
        }
        if answer.records.is_empty() {
            if !table.knows(&name) {
                answer.code = code::NO_SUCH_NAME;
            }
            answer.authorities.push(authority(table.ttl));
        }
        answer
    }

    /// With one more record for the name that was asked for.
    pub(super) fn add(&mut self, query: &Query, ttl: u32, data: &[u8]) {
        self.records.push(record(&query.name, query.kind, ttl, data));
    }

    /// Its bytes. What is longer than the limit is cut down to the question, with the sign of it (RFC 2181 section 9).
    pub(super) fn bytes(&self, limit: usize) -> Vec<u8> {
        let whole = self.written(self.truncated);
        if whole.len() <= limit { whole } else { Self { records: vec![], ..self.clone() }.written(true) }
    }

    fn written(&self, truncated: bool) -> Vec<u8> {
        let (records, authorities): (&[_], &[_]) =
            if truncated { (&[], &[]) } else { (&self.records, &self.authorities) };
        let count = |records: &[Vec<u8>]| u16::try_from(records.len()).unwrap_or(u16::MAX).to_be_bytes();
        let mut message = self.id.to_vec();
        // A response, authoritative, recursion as desired and available.
        message.push(0x84 | u8::from(truncated) << 1 | self.flags & 1);
        message.push(0x80 | self.code & 0x0f);
        message.extend([0, 1]);
        message.extend(count(records));
        message.extend(count(authorities));
        message.extend([0, 0]);
        message.extend(&self.question);
        message.extend(records.concat());
        message.extend(authorities.concat());
        message
    }
}

fn record(name: &str, kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut record = write_name(name);
    record.extend(kind.to_be_bytes());
    record.extend([0, 1]);
    record.extend(ttl.to_be_bytes());
    record.extend(u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
    record.extend(data);
    record
}

/// By whom and for how long something is not there (RFC 2308).
fn authority(ttl: u32) -> Vec<u8> {
    let mut data = write_name("ns.lab");
    data.extend(write_name("admin.lab"));
    for number in [1, 3600, 600, 86_400, ttl] {
        data.extend(number.to_be_bytes());
    }
    record("", SOA, ttl, &data)
}

/// A name as labels. Labels beyond 63 bytes are cut off there.
pub(super) fn write_name(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let label = label.as_bytes().get(..label.len().min(63)).unwrap_or_default();
        bytes.push(u8::try_from(label.len()).unwrap_or(63));
        bytes.extend(label);
    }
    bytes.push(0);
    bytes
}

/// The name that [`write_name`] wrote.
fn read_name(mut bytes: &[u8]) -> Option<String> {
    let mut labels = Vec::new();
    loop {
        let (length, rest) = bytes.split_first()?;
        if *length == 0 {
            return Some(labels.join("."));
        }
        let (label, rest) = rest.split_at_checked(usize::from(*length))?;
        labels.push(String::from_utf8_lossy(label).into_owned());
        bytes = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A query for a name's addresses.
    fn query(name: &str) -> Vec<u8> {
        let mut message = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        message.extend(write_name(name));
        message.extend([0, 1, 0, 1]);
        message
    }

    #[test]
    fn a_question_is_answered_by_its_records_along_aliases() {
        let table = DnsRecords::new().address("array.lab", [10, 0, 0, 7]).alias("www.lab", "array.lab");
        let asked = parse(&query("WWW.lab")).unwrap();
        assert_eq!((asked.name.as_str(), asked.kind, asked.limit), ("www.lab", A, 512));
        let bytes = Answer::from_records(&asked, &table).bytes(512);
        assert_eq!(bytes.get(..8), Some(&[0xab, 0xcd, 0x85, 0x80, 0, 1, 0, 2][..]));
        assert_eq!(bytes.get(12..16), Some(&b"\x03WWW"[..]), "as it was asked");
        assert!(bytes.ends_with(&[0, 4, 10, 0, 0, 7]), "{bytes:?}");
    }

    #[test]
    fn what_is_not_there_is_told_from_what_has_no_such_record() {
        let table = DnsRecords::new().address("six.lab", [0xfd00, 0, 0, 0, 0, 0, 0, 6]);
        let code =
            |name: &str| Answer::from_records(&parse(&query(name)).unwrap(), &table).bytes(512)[3] & 0xf;
        assert_eq!((code("six.lab"), code("no.lab")), (code::NONE, code::NO_SUCH_NAME));
    }

    #[test]
    fn what_is_too_long_is_cut_and_says_so() {
        let many =
            (0..100).fold(DnsRecords::new(), |table, last| table.address("many.lab", [10, 0, 0, last]));
        let answer = Answer::from_records(&parse(&query("many.lab")).unwrap(), &many);
        let cut = answer.bytes(512);
        assert!(cut.len() < 50 && cut[2] & 2 == 2 && cut[7] == 0, "{cut:?}");
        assert!(answer.bytes(65_535).len() > 1600);
        let mut extended = query("many.lab");
        extended.extend([0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(parse(&extended).unwrap().limit, 4096);
    }

    #[test]
    fn cut_and_odd_messages_are_no_queries() {
        let whole = query("a.name.lab");
        for length in 0..whole.len() {
            assert_eq!(parse(whole.get(..length).unwrap()), None);
            let mut damaged = whole.clone();
            for value in [0, 1, 0x3f, 0x40, 0xc0, 0xff] {
                *damaged.get_mut(length).unwrap() = value;
                parse(&damaged);
            }
        }
    }
}
