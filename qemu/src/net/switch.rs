//! A learning switch: which port a frame leaves by. It never changes a frame.

use smoltcp::wire::EthernetAddress;
use std::collections::HashMap;

/// A port of a network. Numbers are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortId(pub(crate) usize);

/// Where a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To one port.
    To(PortId),
    /// To every other port.
    Flood,
    /// To the other end, if there is just one: it is for whoever is on this wire.
    AlongTheWire,
    /// Nowhere.
    Nowhere,
}

/// As in cheap switches. An attacker who sends from more addresses makes it flood, as he does there.
const TABLE_LIMIT: usize = 4096;

/// The switch's memory.
#[derive(Debug, Default)]
pub struct Switch {
    table: HashMap<EthernetAddress, PortId>,
}

impl Switch {
    /// Learns from a frame that came in on a port and says where it goes.
    pub fn forward(&mut self, from: PortId, frame: &[u8]) -> Way {
        let Some((destination, rest)) = frame.split_first_chunk::<6>() else { return Way::Nowhere };
        let Some(source) = rest.first_chunk::<6>() else { return Way::Nowhere };
        let (destination, source) = (EthernetAddress(*destination), EthernetAddress(*source));
        if source.is_unicast() && (self.table.len() < TABLE_LIMIT || self.table.contains_key(&source)) {
            self.table.insert(source, from);
        }
        if is_link_local(destination) {
            return Way::AlongTheWire;
        }
        match self.table.get(&destination) {
            Some(port) if *port == from => Way::Nowhere,
            Some(port) => Way::To(*port),
            None => Way::Flood,
        }
    }

    /// Forgets who is behind a port, as a switch does when its carrier goes.
    pub fn forget(&mut self, port: PortId) {
        self.table.retain(|_, at| *at != port);
    }
}

/// Addresses that no bridge forwards (IEEE 802.1D section 7.12.6), such as those of LACP, LLDP and spanning trees.
fn is_link_local(address: EthernetAddress) -> bool {
    matches!(address.0, [0x01, 0x80, 0xc2, 0x00, 0x00, last] if last < 0x10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(to: u8, from: u8) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from];
        frame.extend([0; 50]);
        frame
    }

    #[test]
    fn a_known_address_gets_its_frames_alone() {
        let (one, two) = (PortId(1), PortId(2));
        let mut switch = Switch::default();
        assert_eq!(switch.forward(one, &frame(20, 10)), Way::Flood);
        assert_eq!(switch.forward(two, &frame(10, 20)), Way::To(one));
        assert_eq!(switch.forward(one, &frame(20, 10)), Way::To(two));
        assert_eq!(switch.forward(one, &frame(10, 11)), Way::Nowhere, "both are behind one port");
        switch.forget(two);
        assert_eq!(switch.forward(one, &frame(20, 10)), Way::Flood);
    }

    #[test]
    fn nothing_is_learnt_from_what_is_no_sender() {
        let mut switch = Switch::default();
        let mut broadcast = frame(20, 10);
        broadcast.get_mut(6..12).unwrap().fill(0xff);
        assert_eq!(switch.forward(PortId(1), &broadcast), Way::Flood);
        let mut answer = frame(0, 20);
        answer.get_mut(..6).unwrap().fill(0xff);
        assert_eq!(switch.forward(PortId(2), &answer), Way::Flood);
        assert_eq!(switch.forward(PortId(1), &[0xff; 11]), Way::Nowhere);
    }

    #[test]
    fn what_is_for_the_neighbour_on_the_wire_is_told_apart() {
        let mut lacp = frame(0, 10);
        for last in [0_u8, 2, 0xe, 0xf] {
            lacp.get_mut(..6).unwrap().copy_from_slice(&[0x01, 0x80, 0xc2, 0, 0, last]);
            assert_eq!(Switch::default().forward(PortId(1), &lacp), Way::AlongTheWire);
        }
        lacp.get_mut(..6).unwrap().copy_from_slice(&[0x01, 0x80, 0xc2, 0, 0, 0x10]);
        assert_eq!(Switch::default().forward(PortId(1), &lacp), Way::Flood);
    }

    #[test]
    fn a_flood_of_senders_is_forgotten_at_a_limit() {
        let mut switch = Switch::default();
        for sender in 0..10_000_u32 {
            let [_, _, high, low] = sender.to_be_bytes();
            let mut flood = frame(1, 0);
            flood.splice(9..12, [1, high, low]);
            switch.forward(PortId(1), &flood);
        }
        assert_eq!(switch.table.len(), TABLE_LIMIT);
    }
}
