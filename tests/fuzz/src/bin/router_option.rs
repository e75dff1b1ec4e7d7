//! What the kernel hands on of a router's advertisement: the name servers in it are few, and each could be another host.
#![no_main]

use drawbridge_network::rdnss::{ADVERTISED_MOST, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // As they are, and as options behind sound headers, which random bytes seldom make.
    let options = &data[..data.len().min(4000)];
    let mut whole = u32::try_from(32 + options.len()).unwrap().to_ne_bytes().to_vec();
    whole.extend(68_u16.to_ne_bytes());
    whole.extend([0; 10]);
    whole.extend([10, 0]);
    whole.extend(u16::try_from(options.len()).unwrap().to_ne_bytes());
    whole.extend(7_i32.to_ne_bytes());
    whole.extend([134, 0, 0, 0, 0, 0, 0, 0]);
    whole.extend(options);
    for datagram in [data, &whole] {
        for one in read(datagram) {
            assert!(one.index > 0);
            assert!((1..=ADVERTISED_MOST).contains(&one.servers.len()), "{one:?}");
            let hosts = |server: &std::net::Ipv6Addr| !server.is_unspecified() && !server.is_multicast();
            assert!(one.servers.iter().all(hosts), "{one:?}");
        }
    }
});
