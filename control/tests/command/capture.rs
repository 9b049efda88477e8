//! Writes captures: file formats, link types, and the packets of a client.

use std::net::{IpAddr, SocketAddr};

use etherparse::{IpHeaders, IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header, TcpHeader, UdpHeader};

/// A flow of a client.
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    source: SocketAddr,
    destination: SocketAddr,
}

pub(crate) fn ipv4(port: u16) -> Ends {
    Ends { source: ([10, 1, 2, 3], port).into(), destination: ([203, 0, 113, 9], 443).into() }
}

pub(crate) fn ipv6(port: u16) -> Ends {
    let address = |last| [0x2001, 0xdb8, 0, 0, 0, 0, 0, last];
    Ends { source: (address(3), port).into(), destination: (address(9), 443).into() }
}

/// What stands before IP.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Link {
    Ethernet,
    EthernetTagged,
    EthernetTaggedTwice,
    Loopback,
    Raw,
    Sll,
    Sll2,
}

/// The format of the file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Format {
    Big,
    Little,
    Nanoseconds,
    NextGeneration,
    NextGenerationBig,
    NextGenerationSimple,
}

/// A capture in the making.
pub(crate) struct Packets {
    link: Link,
    format: Format,
    packets: Vec<Vec<u8>>,
}

impl Link {
    pub(crate) const ALL: [Self; 7] = [
        Self::Ethernet,
        Self::EthernetTagged,
        Self::EthernetTaggedTwice,
        Self::Loopback,
        Self::Raw,
        Self::Sll,
        Self::Sll2,
    ];

    const fn number(self) -> u16 {
        match self {
            Self::Ethernet | Self::EthernetTagged | Self::EthernetTaggedTwice => 1,
            Self::Loopback => 0,
            Self::Raw => 101,
            Self::Sll => 113,
            Self::Sll2 => 276,
        }
    }

    /// The header before a packet whose EtherType is `kind`.
    fn header(self, kind: [u8; 2]) -> Vec<u8> {
        let addresses = [2; 12];
        match self {
            Self::Ethernet => [&addresses[..], &kind].concat(),
            Self::EthernetTagged => [&addresses[..], &[0x81, 0, 0, 7], &kind].concat(),
            Self::EthernetTaggedTwice => [&addresses[..], &[0x88, 0xa8, 0, 7, 0x81, 0, 0, 9], &kind].concat(),
            Self::Loopback => vec![2, 0, 0, 0],
            Self::Raw => vec![],
            Self::Sll => [&[0, 0, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0][..], &kind].concat(),
            Self::Sll2 => [&kind[..], &[0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0]].concat(),
        }
    }
}

impl Format {
    pub(crate) const ALL: [Self; 6] = [
        Self::Big,
        Self::Little,
        Self::Nanoseconds,
        Self::NextGeneration,
        Self::NextGenerationBig,
        Self::NextGenerationSimple,
    ];

    const fn is_big(self) -> bool {
        matches!(self, Self::Big | Self::NextGenerationBig)
    }

    fn word(self, value: u32) -> [u8; 4] {
        if self.is_big() { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn half(self, value: u16) -> [u8; 2] {
        if self.is_big() { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    /// A block of pcapng, its length on both sides.
    fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let padding = body.len().next_multiple_of(4) - body.len();
        let length = self.word(length(body.len() + padding + 12));
        [&self.word(kind)[..], &length, body, &[0; 3][..padding], &length].concat()
    }
}

impl Packets {
    pub(crate) const fn new(link: Link, format: Format) -> Self {
        Self { link, format, packets: Vec::new() }
    }

    /// A connection with these segments, from its SYN. Each begins at another number.
    pub(crate) fn connection(&mut self, ends: Ends, segments: &[&[u8]]) {
        let mut sequence = 0x1234_0000 + length(self.packets.len());
        self.syn(ends, sequence);
        sequence += 1;
        for segment in segments {
            self.segment(ends, sequence, segment);
            sequence += length(segment.len());
        }
    }

    pub(crate) fn syn(&mut self, ends: Ends, sequence: u32) {
        let header = TcpHeader::new(ends.source.port(), ends.destination.port(), sequence, 65_535);
        self.ip(ends, IpNumber::TCP, &TcpHeader { syn: true, ..header }.to_bytes());
    }

    pub(crate) fn segment(&mut self, ends: Ends, sequence: u32, payload: &[u8]) {
        let header = TcpHeader::new(ends.source.port(), ends.destination.port(), sequence, 65_535);
        let header = TcpHeader { ack: true, ..header }.to_bytes();
        self.ip(ends, IpNumber::TCP, &[&header[..], payload].concat());
    }

    pub(crate) fn datagram(&mut self, ends: Ends, payload: &[u8]) {
        let (source, destination) = (ends.source.port(), ends.destination.port());
        let header = UdpHeader::without_ipv4_checksum(source, destination, payload.len()).unwrap().to_bytes();
        self.ip(ends, IpNumber::UDP, &[&header[..], payload].concat());
    }

    /// A frame as it is.
    pub(crate) fn raw(&mut self, frame: &[u8]) {
        self.packets.push(frame.to_vec());
    }

    fn ip(&mut self, ends: Ends, protocol: IpNumber, payload: &[u8]) {
        let bytes = u16::try_from(payload.len()).unwrap();
        let (kind, ip) = match (ends.source.ip(), ends.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let header = Ipv4Header::new(bytes, 64, protocol, source.octets(), destination.octets()).unwrap();
                ([8, 0], IpHeaders::Ipv4(header, Default::default()))
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let header = Ipv6Header {
                    traffic_class: 0,
                    flow_label: Ipv6FlowLabel::ZERO,
                    payload_length: bytes,
                    next_header: protocol,
                    hop_limit: 64,
                    source: source.octets(),
                    destination: destination.octets(),
                };
                ([0x86, 0xdd], IpHeaders::Ipv6(header, Default::default()))
            }
            mixed => panic!("{mixed:?}"),
        };
        let mut frame = self.link.header(kind);
        ip.write(&mut frame).unwrap();
        frame.extend_from_slice(payload);
        if matches!(self.link, Link::Ethernet) && frame.len() < 60 {
            frame.resize(60, 0xee);
        }
        self.packets.push(frame);
    }

    /// The file.
    pub(crate) fn file(&self) -> Vec<u8> {
        let (format, link) = (self.format, self.link.number());
        let word = |value| format.word(value);
        let zero = [0; 4];
        match format {
            Format::Big | Format::Little | Format::Nanoseconds => {
                let magic = if matches!(format, Format::Nanoseconds) { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
                let version = [format.half(2), format.half(4)].concat();
                let mut file =
                    [&word(magic)[..], &version, &zero, &zero, &word(262_144), &word(u32::from(link))].concat();
                for packet in &self.packets {
                    let bytes = word(length(packet.len()));
                    file.extend([&zero[..], &zero, &bytes, &bytes, packet].concat());
                }
                file
            }
            Format::NextGeneration | Format::NextGenerationBig | Format::NextGenerationSimple => {
                let version = [format.half(1), format.half(0)].concat();
                let mut file = format.block(0x0a0d_0d0a, &[&word(0x1a2b_3c4d)[..], &version, &[0xff; 8]].concat());
                file.extend(format.block(1, &[&format.half(link)[..], &[0, 0], &word(262_144)].concat()));
                for packet in &self.packets {
                    let bytes = word(length(packet.len()));
                    file.extend(match format {
                        Format::NextGenerationSimple => format.block(3, &[&bytes[..], packet].concat()),
                        _ => format.block(6, &[&zero[..], &zero, &zero, &bytes, &bytes, packet].concat()),
                    });
                }
                file
            }
        }
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap()
}
