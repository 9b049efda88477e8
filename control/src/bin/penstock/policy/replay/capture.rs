//! Capture files to packets: pcap in both byte orders and both time resolutions, and pcapng.
//!
//! Reads through a buffer of fixed size, whatever the size of the file. What is wrong with a file is told with the number of
//! the packet and the offset at which it stands.

use std::fmt::{self, Display};
use std::fs::File;
use std::path::Path;

use anyhow::Context as _;
use pcap_parser::pcapng::Block;
use pcap_parser::traits::{PcapNGPacketBlock as _, PcapReaderIterator};
use pcap_parser::{Linktype, PcapBlockOwned, PcapError, create_reader};

/// A packet as it was captured.
pub(super) struct Packet<'a> {
    pub(super) link: Linktype,
    pub(super) bytes: &'a [u8],
}

/// Bytes of the file that are in memory at a time; a packet that does not fit is refused. Captures hold at most 256 KiB of one.
const BUFFER_BYTES: usize = 1 << 20;
/// Interfaces of one section of a pcapng file.
const INTERFACES_MAX: usize = 4_096;

/// Where in a file something is wrong.
struct Place<'a> {
    path: &'a Path,
    /// From 1, in the way of other tools.
    packet: u64,
    /// From the file's first byte.
    offset: usize,
}

impl Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: packet {} at byte {}", self.path.display(), self.packet, self.offset)
    }
}

/// Calls `handle` with each packet of the file. Gives their number.
pub(super) fn read(path: &Path, mut handle: impl FnMut(&Packet<'_>) -> Result<(), String>) -> anyhow::Result<u64> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let mut reader = create_reader(BUFFER_BYTES, file)
        .map_err(|error| anyhow::anyhow!("{}: {}", path.display(), reason(&error, "no pcap or pcapng file")))?;
    let mut links = Links::default();
    let mut packets = 0;
    loop {
        let place = Place { path, packet: packets + 1, offset: reader.consumed() };
        let consumed = match reader.next() {
            Ok((consumed, block)) => {
                if let Some(packet) = links.packet(&block).map_err(|reason| anyhow::anyhow!("{place}: {reason}"))? {
                    packets += 1;
                    handle(&packet).map_err(|reason| anyhow::anyhow!("{place}: {reason}"))?;
                }
                consumed
            }
            Err(PcapError::Eof) => return Ok(packets),
            Err(PcapError::Incomplete(_)) => {
                refill(&mut *reader).map_err(|reason| anyhow::anyhow!("{place}: {reason}"))?;
                continue;
            }
            Err(error) => anyhow::bail!("{place}: {}", reason(&error, "its header is malformed")),
        };
        reader.consume(consumed);
    }
}

fn refill(reader: &mut (dyn PcapReaderIterator + Send)) -> Result<(), String> {
    reader.refill().map_err(|error| reason(&error, "the file cannot be read"))
}

fn reason<I>(error: &PcapError<I>, otherwise: &str) -> String {
    match error {
        PcapError::BufferTooSmall => format!("a packet has more than {BUFFER_BYTES} bytes, or its length is wrong"),
        PcapError::Eof => "the file is empty".to_owned(),
        PcapError::Incomplete(_) | PcapError::UnexpectedEof => "the file ends in the middle of it".to_owned(),
        PcapError::ReadError => "the file cannot be read".to_owned(),
        PcapError::HeaderNotRecognized | PcapError::NomError(..) | PcapError::OwnedNomError(..) => otherwise.to_owned(),
    }
}

/// The link types of a section's interfaces; a pcap file is one section with one interface.
#[derive(Default)]
struct Links(Vec<Linktype>);

impl Links {
    /// The packet in a block; `None` when it holds another thing.
    fn packet<'a>(&mut self, block: &'a PcapBlockOwned<'_>) -> Result<Option<Packet<'a>>, String> {
        let (interface, bytes) = match block {
            PcapBlockOwned::LegacyHeader(header) => {
                self.0 = vec![header.network];
                return Ok(None);
            }
            PcapBlockOwned::Legacy(packet) => (0, packet.data),
            PcapBlockOwned::NG(Block::SectionHeader(_)) => {
                self.0.clear();
                return Ok(None);
            }
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                if self.0.len() == INTERFACES_MAX {
                    return Err(format!("there are more than {INTERFACES_MAX} interfaces"));
                }
                self.0.push(interface.linktype);
                return Ok(None);
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => (packet.if_id, packet.packet_data()),
            PcapBlockOwned::NG(Block::SimplePacket(packet)) => (0, packet.packet_data()),
            PcapBlockOwned::NG(_) => return Ok(None),
        };
        let link = usize::try_from(interface).ok().and_then(|interface| self.0.get(interface));
        let link = *link.ok_or_else(|| format!("interface {interface} is not described before it"))?;
        Ok(Some(Packet { link, bytes }))
    }
}
