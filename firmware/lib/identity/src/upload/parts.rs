//! What an upload consists of: its key, its certificates, and what does not belong there; it never compares them.

use super::chain::Link;
use super::fault::{Code, Fault};
use super::key::{self, Key};
use super::{LONGEST, MOST_CERTIFICATES};
use crate::pem::{self, Block, PemFault};
use crate::text::printable;
use zeroize::Zeroizing;

pub(super) fn read(upload: &[u8]) -> Result<Vec<Block>, Fault> {
    if upload.len() > LONGEST {
        return Err(Fault::new(
            Code::TooLong,
            "The file is longer than 64 KiB.",
            "Upload one key and the certificates of its chain, and nothing else.",
        ));
    }
    let not_pem = || {
        Fault::new(
            Code::NotPem,
            "The file is no PEM text.",
            "From PKCS#12 (.p12, .pfx) it is made with: openssl pkcs12 -in FILE -nodes -out all.pem; from DER with: \
             openssl x509 -inform DER -in FILE -out cert.pem",
        )
    };
    if upload.contains(&0) {
        return Err(not_pem());
    }
    // Whatever stands between the blocks may be in another encoding; what is within them is ASCII.
    let text = Zeroizing::new(String::from_utf8_lossy(upload).into_owned());
    let damaged = |sentence: String| {
        Fault::new(Code::DamagedText, sentence, "Export it again, and copy whole lines from BEGIN to END.")
    };
    let blocks = pem::blocks(&text).map_err(|fault| match fault {
        PemFault::Many => damaged("The file has more than 64 parts.".to_owned()),
        PemFault::Endless(line) => damaged(format!("What begins in line {line} has no end that fits.")),
        PemFault::Stray(line) => damaged(format!("Line {line} ends something that did not begin.")),
        PemFault::Damaged(line) => damaged(format!("What begins in line {line} is damaged.")),
    })?;
    if blocks.is_empty() { Err(not_pem()) } else { Ok(blocks) }
}

fn is_certificate(label: &str) -> bool {
    matches!(label, "CERTIFICATE" | "X509 CERTIFICATE")
}

/// A fault for each kind of block that does not belong here.
pub(super) fn foreign(blocks: &[Block]) -> Vec<Fault> {
    let mut labels: Vec<&str> = Vec::new();
    for Block { label, .. } in blocks {
        let belongs = is_certificate(label) || key::is_key(label) || label == "EC PARAMETERS";
        if !belongs && !labels.contains(&label.as_str()) {
            labels.push(label);
        }
    }
    labels.into_iter().map(foreign_fault).collect()
}

fn foreign_fault(label: &str) -> Fault {
    let remedy = match label {
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => {
            "A request is for the certificate authority: upload the certificate that it sends back."
        }
        "TRUSTED CERTIFICATE" => "Write it anew with: openssl x509 -in FILE -out cert.pem",
        "PKCS7" | "CMS" => {
            "Take the certificates out with: openssl pkcs7 -in FILE -print_certs -out chain.pem"
        }
        _ => "Take that part out of the file.",
    };
    let sentence =
        format!("The file has a part of the kind “{}”, which is of no use here.", printable(label, 40));
    Fault::new(Code::ForeignBlock, sentence, remedy)
}

pub(super) fn find_key(blocks: &[Block]) -> Result<Key, Vec<Fault>> {
    let mut keys = blocks.iter().filter(|block| key::is_key(&block.label));
    match (keys.next(), keys.next()) {
        (Some(only), None) => key::read(only).map_err(|fault| vec![fault]),
        (None, _) => Err(vec![Fault::new(
            Code::NoKey,
            "There is no private key in the file.",
            "Put the key that belongs to the certificate into the same file: cat key.pem cert.pem chain.pem > all.pem",
        )]),
        (Some(_), Some(_)) => Err(vec![Fault::new(
            Code::SeveralKeys,
            "There are several private keys in the file.",
            "Leave the one that belongs to the certificate, and take the others out.",
        )]),
    }
}

pub(super) fn certificates(blocks: &[Block], faults: &mut Vec<Fault>) -> Vec<Link> {
    let mut ders: Vec<&[u8]> = Vec::new();
    for block in blocks.iter().filter(|block| is_certificate(&block.label)) {
        if !ders.contains(&block.der.as_slice()) {
            ders.push(&block.der);
        }
    }
    if ders.is_empty() {
        faults.push(Fault::new(
            Code::NoCertificate,
            "There is no certificate in the file.",
            "Add the certificate, and those of the authorities between it and the root.",
        ));
    }
    if ders.len() > MOST_CERTIFICATES {
        faults.push(Fault::new(
            Code::ManyCertificates,
            format!(
                "There are {} certificates in the file, and at most {MOST_CERTIFICATES} are taken.",
                ders.len()
            ),
            "Upload the system's certificate and those of its own chain, not a whole collection.",
        ));
        return Vec::new();
    }
    let mut links = Vec::new();
    for (index, der) in ders.into_iter().enumerate() {
        match Link::read(der) {
            Some(link) => links.push(link),
            None => faults.push(Fault::new(
                Code::DamagedCertificate,
                format!("Certificate number {} in the file cannot be read.", index + 1),
                "Export it again; openssl x509 -in cert.pem -noout -text shows whether it can be read.",
            )),
        }
    }
    links
}
