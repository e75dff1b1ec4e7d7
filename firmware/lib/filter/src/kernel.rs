//! The kernel's numbers for `nf_tables`, as `linux/netfilter/nf_tables.h` and `nfnetlink.h` have them. It holds no bytes of its
//! own making.

/// `NFNL_SUBSYS_NFTABLES`: the upper byte of the type of each message.
pub(crate) const SUBSYSTEM: u16 = 10;

/// Types of messages: `NFNL_MSG_BATCH_…`, which have no subsystem.
pub(crate) mod batch {
    pub(crate) const BEGIN: u16 = 0x10;
    pub(crate) const END: u16 = 0x11;
}

/// Types of messages: `NFT_MSG_…`.
pub(crate) mod message {
    pub(crate) const NEW_TABLE: u16 = 0;
    pub(crate) const DELETE_TABLE: u16 = 2;
    pub(crate) const NEW_CHAIN: u16 = 3;
    pub(crate) const NEW_RULE: u16 = 6;
    pub(crate) const NEW_SET: u16 = 9;
    pub(crate) const NEW_ELEMENTS: u16 = 12;
    pub(crate) const DELETE_ELEMENTS: u16 = 14;
    pub(crate) const NEW_OBJECT: u16 = 18;
    pub(crate) const GET_OBJECT: u16 = 19;
}

/// Attributes of each kind of message or expression: `NFTA_…`.
pub(crate) mod attribute {
    pub(crate) const TABLE_NAME: u16 = 1;

    pub(crate) const CHAIN_TABLE: u16 = 1;
    pub(crate) const CHAIN_NAME: u16 = 3;
    pub(crate) const CHAIN_HOOK: u16 = 4;
    pub(crate) const CHAIN_POLICY: u16 = 5;
    pub(crate) const CHAIN_TYPE: u16 = 7;
    pub(crate) const HOOK_NUMBER: u16 = 1;
    pub(crate) const HOOK_PRIORITY: u16 = 2;

    pub(crate) const RULE_TABLE: u16 = 1;
    pub(crate) const RULE_CHAIN: u16 = 2;
    pub(crate) const RULE_EXPRESSIONS: u16 = 4;
    pub(crate) const LIST_ELEMENT: u16 = 1;
    pub(crate) const EXPRESSION_NAME: u16 = 1;
    pub(crate) const EXPRESSION_DATA: u16 = 2;

    pub(crate) const SET_TABLE: u16 = 1;
    pub(crate) const SET_NAME: u16 = 2;
    pub(crate) const SET_FLAGS: u16 = 3;
    pub(crate) const SET_KEY_TYPE: u16 = 4;
    pub(crate) const SET_KEY_LENGTH: u16 = 5;
    pub(crate) const SET_SIZES: u16 = 9;
    pub(crate) const SET_ID: u16 = 10;
    pub(crate) const SET_TIMEOUT: u16 = 11;
    pub(crate) const SET_NOTES: u16 = 13;
    pub(crate) const SIZES_MOST: u16 = 1;
    pub(crate) const ELEMENTS_TABLE: u16 = 1;
    pub(crate) const ELEMENTS_SET: u16 = 2;
    pub(crate) const ELEMENTS_LIST: u16 = 3;
    pub(crate) const ELEMENT_KEY: u16 = 1;

    pub(crate) const OBJECT_TABLE: u16 = 1;
    pub(crate) const OBJECT_NAME: u16 = 2;
    pub(crate) const OBJECT_TYPE: u16 = 3;
    pub(crate) const OBJECT_DATA: u16 = 4;
    pub(crate) const COUNTER_PACKETS: u16 = 2;

    pub(crate) const DATA_VALUE: u16 = 1;
    pub(crate) const DATA_VERDICT: u16 = 2;
    pub(crate) const VERDICT_CODE: u16 = 1;
    pub(crate) const VERDICT_CHAIN: u16 = 2;

    pub(crate) const IMMEDIATE_REGISTER: u16 = 1;
    pub(crate) const IMMEDIATE_DATA: u16 = 2;
    pub(crate) const META_INTO: u16 = 1;
    pub(crate) const META_KEY: u16 = 2;
    pub(crate) const META_FROM: u16 = 3;
    pub(crate) const COMPARE_REGISTER: u16 = 1;
    pub(crate) const COMPARE_OPERATION: u16 = 2;
    pub(crate) const COMPARE_DATA: u16 = 3;
    pub(crate) const PAYLOAD_REGISTER: u16 = 1;
    pub(crate) const PAYLOAD_BASE: u16 = 2;
    pub(crate) const PAYLOAD_OFFSET: u16 = 3;
    pub(crate) const PAYLOAD_LENGTH: u16 = 4;
    pub(crate) const BITWISE_FROM: u16 = 1;
    pub(crate) const BITWISE_INTO: u16 = 2;
    pub(crate) const BITWISE_LENGTH: u16 = 3;
    pub(crate) const BITWISE_MASK: u16 = 4;
    pub(crate) const BITWISE_XOR: u16 = 5;
    pub(crate) const LOOKUP_SET: u16 = 1;
    pub(crate) const LOOKUP_REGISTER: u16 = 2;
    pub(crate) const LOOKUP_FLAGS: u16 = 5;
    pub(crate) const CT_REGISTER: u16 = 1;
    pub(crate) const CT_KEY: u16 = 2;
    pub(crate) const FIB_REGISTER: u16 = 1;
    pub(crate) const FIB_RESULT: u16 = 2;
    pub(crate) const FIB_FLAGS: u16 = 3;
    pub(crate) const LIMIT_RATE: u16 = 1;
    pub(crate) const LIMIT_UNIT: u16 = 2;
    pub(crate) const LIMIT_BURST: u16 = 3;
    pub(crate) const UPDATE_SET: u16 = 1;
    pub(crate) const UPDATE_OPERATION: u16 = 3;
    pub(crate) const UPDATE_KEY: u16 = 4;
    pub(crate) const UPDATE_EXPRESSION: u16 = 7;
    pub(crate) const REJECT_TYPE: u16 = 1;
    pub(crate) const REJECT_CODE: u16 = 2;
    pub(crate) const REFERENCE_TYPE: u16 = 1;
    pub(crate) const REFERENCE_NAME: u16 = 2;
}

/// `NFT_META_…`: what the kernel knows of a packet besides its bytes.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Meta {
    /// The packet's mark, by which routes are chosen.
    Mark = 3,
    /// The index of the port it came in by.
    ArrivedBy = 4,
    /// The index of the port it leaves by.
    LeavesBy = 5,
    /// The user whose process has the socket; of a packet without one a rule that asks does not match.
    User = 10,
    /// The protocol family: `NFPROTO_…`.
    Family = 15,
    /// The protocol above IP, behind IPv6's extension headers.
    Transport = 16,
}

/// `NFT_CT_…`: what connection tracking knows.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Ct {
    /// A bit of the `state` module.
    State = 0,
    /// 0 towards who was called, 1 back to who called.
    Direction = 1,
}

/// `NF_CT_STATE_BIT` of each state.
pub(crate) mod state {
    pub(crate) const INVALID: u32 = 1;
    pub(crate) const ESTABLISHED: u32 = 2;
    pub(crate) const RELATED: u32 = 4;
    pub(crate) const NEW: u32 = 8;
}

/// `NFT_PAYLOAD_…`: where an offset into a packet begins.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Header {
    /// IPv4, IPv6, or ARP.
    Network = 1,
    /// TCP, UDP, ICMP and the like.
    Transport = 2,
}

/// `NFTA_FIB_F_…` and `NFT_FIB_RESULT_…`.
pub(crate) mod fib {
    pub(crate) const SOURCE: u32 = 1;
    pub(crate) const DESTINATION: u32 = 1 << 1;
    pub(crate) const MARK: u32 = 1 << 2;
    pub(crate) const ARRIVED_BY: u32 = 1 << 3;
    pub(crate) const PRESENT: u32 = 1 << 5;
    pub(crate) const RESULT_PORT: u32 = 1;
    pub(crate) const RESULT_TYPE: u32 = 3;
}

/// `RTN_…`: whose an address is.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum AddressType {
    /// One of ours.
    Local = 2,
    /// Everybody's on one link.
    Broadcast = 3,
    /// A group's.
    Multicast = 5,
}

/// `NF_INET_…` and `NF_ARP_…`: where in its way through the kernel a packet is looked at.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Hook {
    /// Before it is decided whose it is. (inet)
    Prerouting = 0,
    /// On its way to a process of ours. (inet)
    Input = 1,
    /// On its way from one network to another. (inet)
    Forward = 2,
    /// On its way from a process of ours. (inet)
    Output = 3,
}

/// `NF_ARP_IN`.
pub(crate) const ARP_INPUT: u32 = 0;

/// `NF_IP_PRI_RAW`: before connection tracking, behind the joining of fragments.
pub(crate) const PRIORITY_RAW: i32 = -300;
/// `NF_IP_PRI_FILTER`.
pub(crate) const PRIORITY_FILTER: i32 = 0;

/// `NFT_REG_VERDICT`.
pub(crate) const VERDICT: u32 = 0;
/// `NFT_REG_1`: 16 bytes wide.
pub(crate) const FIRST: u32 = 1;
/// `NFT_REG32_01`: what follows behind the first 4 bytes of the first register.
pub(crate) const BEHIND_FOUR_BYTES: u32 = 9;

/// `NF_DROP`, `NF_ACCEPT`, `NFT_JUMP`, `NFT_GOTO` as the wire has them.
pub(crate) mod verdict {
    pub(crate) const DROP: i32 = 0;
    pub(crate) const ACCEPT: i32 = 1;
    pub(crate) const JUMP: i32 = -3;
    pub(crate) const GOTO: i32 = -4;
}

/// `NFT_OBJECT_COUNTER`.
pub(crate) const COUNTER: u32 = 1;
/// `NFT_REJECT_TCP_RST`.
pub(crate) const REJECT_BY_RESET: u32 = 1;
/// `NFT_DYNSET_OP_UPDATE`.
pub(crate) const UPDATE: u32 = 1;
/// `NFT_SET_TIMEOUT` and `NFT_SET_EVAL`: packets make members of the set, which are forgotten after a while.
pub(crate) const MADE_BY_PACKETS: u32 = 0x10 | 0x20;
/// `NFT_LOOKUP_F_INV`.
pub(crate) const INVERTED: u32 = 1;
/// `NFT_CMP_EQ`, `NFT_CMP_NEQ`.
pub(crate) const EQUAL: u32 = 0;
/// See [`EQUAL`].
pub(crate) const NOT_EQUAL: u32 = 1;
/// `LOOPBACK_IFINDEX`: loopback has this index in every network namespace.
pub(crate) const LOOPBACK: u32 = 1;

/// Numbers of the protocols above IP.
pub(crate) mod protocol {
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const IGMP: u8 = 2;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const ICMPV6: u8 = 58;
}

/// `TYPE_…` of the program `nft`, by which it shows the members of a set. The kernel only keeps them.
pub(crate) mod shown_as {
    pub(crate) const PORT: u32 = 20;
    pub(crate) const SERVICE: u32 = 13;
    pub(crate) const PORT_AND_USER: u32 = PORT << 6 | 0x18;
    pub(crate) const PORT_AND_IPV4: u32 = PORT << 6 | 7;
    pub(crate) const PORT_AND_IPV6: u32 = PORT << 6 | 8;
    /// A note of four bytes (`NFTNL_UDATA_SET_KEYBYTEORDER`): a port's index has the machine's order (1), and a service the
    /// network's (2).
    pub(crate) const fn order(of: u32) -> [u8; 6] {
        let [a, b, c, d] = if of == SERVICE { 2_u32 } else { 1 }.to_ne_bytes();
        [0, 4, a, b, c, d]
    }
}
