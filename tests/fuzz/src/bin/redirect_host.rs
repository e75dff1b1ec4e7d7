//! A Host field of anybody's, and names of a certificate's: the redirect leads to one of the appliance's own, or to the
//! address at which the client came in, and to nothing else.
#![no_main]

use drawbridge_console::redirect::{Names, location};
use libfuzzer_sys::fuzz_target;
use std::net::IpAddr;

fuzz_target!(|data: &[u8]| {
    // The host's name, a certificate's, an address; what is left is the client's.
    let mut parts = data.splitn(4, |byte| *byte == b'\n');
    let mut next = || parts.next().unwrap_or_default();
    let (host_name, certified) =
        (String::from_utf8_lossy(next()), String::from_utf8_lossy(next()).into_owned());
    let address = <[u8; 16]>::try_from(next()).map_or(IpAddr::from([10, 0, 1, 5]), IpAddr::from);
    let host = next();
    let fixed = ["sa.example.com".to_owned(), "192.0.2.7".to_owned(), certified.clone()];
    let names = Names::new(&host_name, &fixed, &[address]);
    for local in [IpAddr::from([10, 0, 1, 5]), address, "fe80::1".parse().unwrap()] {
        let led = location(Some(host), local, &names, 9000);
        let own =
            led.strip_prefix("https://").and_then(|led| led.strip_suffix(":9000/")).expect("one form only");
        assert!(own.len() <= 253 && !own.is_empty(), "{own:?}");
        let literal = own.strip_prefix('[').and_then(|own| own.strip_suffix(']'));
        match literal.map_or_else(|| own.parse::<IpAddr>(), str::parse) {
            Ok(ip) => assert!(
                [local.to_canonical(), address.to_canonical(), IpAddr::from([192, 0, 2, 7])].contains(&ip)
                    || certified.parse::<IpAddr>().is_ok_and(|certified| certified.to_canonical() == ip),
                "{ip} is none of its own"
            ),
            Err(_) => {
                assert!(
                    own.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')),
                    "{own:?}"
                );
                let local = format!("{host_name}.local");
                let ours = ["sa.example.com", &certified, &host_name, &local];
                assert!(ours.iter().any(|ours| ours.eq_ignore_ascii_case(own)), "{own} is none of its own");
            }
        }
    }
});
