//! One end's virtual network on a shared cable (IEEE 802.1Q): tags put on and taken off. It never looks behind the tag.

use super::cable::Frame;

/// IEEE 802.1Q section 9.4: the type of a frame with a tag.
const TAGGED: [u8; 2] = [0x81, 0x00];

/// The two hardware addresses, before which nothing is put.
const ADDRESSES: usize = 12;

/// A VLAN's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Vlan(u16);

impl Vlan {
    /// The lower twelve bits of a number.
    pub(super) fn new(id: u16) -> Self {
        Self(id & 0x0fff)
    }

    /// The frame with the tag, priority 0. What is too short to be a frame stays as it is.
    pub(super) fn tag(self, frame: &Frame) -> Frame {
        let Some((addresses, rest)) = frame.split_at_checked(ADDRESSES) else { return Frame::clone(frame) };
        [addresses, &TAGGED, &self.0.to_be_bytes(), rest].concat().into()
    }

    /// The frame without the tag; none when it bears another or none.
    pub(super) fn untag(self, frame: &Frame) -> Option<Frame> {
        let (addresses, rest) = frame.split_at_checked(ADDRESSES)?;
        let (tag, rest) = rest.split_first_chunk::<4>()?;
        let [a, b, high, low] = *tag;
        // Whatever its priority.
        let ours = [a, b] == TAGGED && u16::from_be_bytes([high, low]) & 0x0fff == self.0;
        ours.then(|| [addresses, rest].concat().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_frames_of_its_own_network_lose_their_tag() {
        let frame: Frame = (0..60).collect::<Vec<u8>>().into();
        let tagged = Vlan::new(0x123).tag(&frame);
        assert_eq!(tagged.get(10..18), Some(&[10, 11, 0x81, 0, 0x01, 0x23, 12, 13][..]));
        assert_eq!(Vlan::new(0x123).untag(&tagged), Some(Frame::clone(&frame)));
        assert_eq!(Vlan::new(0x124).untag(&tagged), None);
        assert_eq!(Vlan::new(0x123).untag(&frame), None);
        let mut urgent = tagged.to_vec();
        *urgent.get_mut(14).unwrap() |= 0xe0;
        assert_eq!(Vlan::new(0x123).untag(&urgent.into()), Some(frame));
        for length in 0..18 {
            Vlan::new(1).untag(&tagged.get(..length).unwrap().into());
            Vlan::new(1).tag(&tagged.get(..length).unwrap().into());
        }
    }
}
