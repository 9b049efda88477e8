//! Every bound of the product, in one place.
//!
//! Reaching one is a counted, named outcome, never silence. Names carry their unit and end in `_max`, `_deadline_ms`
//! and so on; relations between bounds are checked when the crate is compiled.

/// Longest ClientHello, over all its records, that is read before a flow is refused. A real one with post-quantum
/// shares is about 2 KiB; the longest captured is 11,414 bytes.
pub const CLIENT_HELLO_BYTES_MAX: usize = 64 * 1024;
/// Longest record payload (RFC 8446 section 5.1).
pub const TLS_RECORD_BYTES_MAX: usize = 16 * 1024;
/// Empty handshake records, warning alerts or ChangeCipherSpec records tolerated before a ClientHello.
pub const HELLO_STRAY_RECORDS_MAX: usize = 4;
/// Most bytes from the start of a connection to the end of the ClientHello, record headers and stray records included: what
/// sniffing one flow may hold. Twice the hello leaves room for real ones that are cut into records of a byte each.
pub const CLIENT_HELLO_INPUT_BYTES_MAX: usize = 2 * CLIENT_HELLO_BYTES_MAX;
/// Most extensions in a ClientHello. Browsers send about 20; about 60 types are registered.
pub const CLIENT_HELLO_EXTENSIONS_MAX: usize = 128;
/// Most cipher suites in a ClientHello. About 350 are registered; scanners offer most of them.
pub const CLIENT_HELLO_CIPHER_SUITES_MAX: usize = 1024;
/// Longest host name (RFC 1035 section 3.1, without the trailing dot).
pub const HOST_NAME_BYTES_MAX: usize = 253;
/// Longest label of a host name.
pub const HOST_LABEL_BYTES_MAX: usize = 63;

/// Most bytes of a QUIC connection's handshake that are kept to read its ClientHellos. The longest captured is 2,540 bytes.
pub const QUIC_CRYPTO_BYTES_MAX: usize = 16 * 1024;
/// Pieces of them that stand apart from each other. Browsers cut a ClientHello into about ten.
pub const QUIC_CRYPTO_PIECES_MAX: usize = 64;
/// Datagrams of one connection that bring parts of a ClientHello without making it whole, duplicates included.
pub const QUIC_DATAGRAMS_MAX: usize = 32;
/// Connections of one QUIC flow whose beginning is remembered; with one more, the flow is refused. A client that has one
/// socket for all its connections opens one for each host at the same address.
pub const QUIC_CONNECTIONS_MAX: usize = 16;
/// Handshake bytes of all connections of one QUIC flow together.
pub const QUIC_FLOW_BYTES_MAX: usize = 32 * 1024;
/// Packets in one datagram: three kinds with a long header, one without, and room.
pub const QUIC_PACKETS_MAX: usize = 8;
/// Shortest datagram whose Initial packets count (RFC 9000 section 14.1).
pub const QUIC_INITIAL_DATAGRAM_BYTES_MIN: usize = 1_200;

/// Percent of the memory ceiling from which inspected connections are no longer kept alive.
pub const MEMORY_KEEP_ALIVE_PERCENT: u64 = 85;
/// Percent of the memory ceiling from which new flows to inspected hosts are refused.
pub const MEMORY_INSPECTED_PERCENT: u64 = 92;
/// Percent of the memory ceiling from which all new flows are refused.
pub const MEMORY_FLOWS_PERCENT: u64 = 95;
/// Between two measurements of the memory.
pub const MEMORY_PERIOD_MS: u64 = 250;
/// The same from [`MEMORY_NEAR_PERCENT`] of the ceiling on. One takes some 50 us; flows that hold the longest ClientHello, 4,000 new
/// ones in a second, take 6 MiB in that time, less than what is left when new ones are refused of any ceiling above 128 MiB.
pub const MEMORY_NEAR_PERIOD_MS: u64 = 25;
/// Percent of the ceiling that cannot be left behind within one [`MEMORY_PERIOD_MS`] before the next measurement.
pub const MEMORY_NEAR_PERCENT: u64 = 60;
/// Lowest memory ceiling that may be configured, in MiB: below, the tables of one shard would not fit.
pub const MEMORY_CEILING_MIB_MIN: u64 = 32;
const _: () = assert!(MEMORY_NEAR_PERCENT < MEMORY_KEEP_ALIVE_PERCENT && MEMORY_NEAR_PERIOD_MS < MEMORY_PERIOD_MS);
const _: () = assert!(MEMORY_KEEP_ALIVE_PERCENT < MEMORY_INSPECTED_PERCENT);
const _: () = assert!(MEMORY_INSPECTED_PERCENT < MEMORY_FLOWS_PERCENT && MEMORY_FLOWS_PERCENT < 100);

/// Panics of one shard within [`PANICS_SPAN_MS`] after which the process is replaced. One hostile peer may cause a few of them;
/// as many say that something is broken, and each more may meet state that an earlier one left half changed.
pub const PANICS_PER_SHARD_MAX: usize = 10;
/// See [`PANICS_PER_SHARD_MAX`].
pub const PANICS_SPAN_MS: u64 = 60_000;

/// Datagrams that wait in a socket while nobody reads, in bytes of the kernel's memory, about twice those of a datagram: one
/// process takes over from another, or a shard is busy.
pub const UDP_QUEUE_BYTES: usize = 1024 * 1024;
/// UDP flows that one shard remembers, about 80 KiB each at the worst.
pub const UDP_FLOWS_PER_SHARD_MAX: usize = 4_096;
/// Of these, those that wait for the rest of their hello; with one more, its client has to take TCP.
pub const UDP_WAITING_PER_SHARD_MAX: usize = UDP_FLOWS_PER_SHARD_MAX / 2;
/// Of these, those of one source: enough that no source can shut the others out.
pub const UDP_WAITING_PER_SOURCE_MAX: usize = UDP_WAITING_PER_SHARD_MAX / 2;
/// Flows that one source may begin in a second on a shard, where the configuration has no other number.
pub const UDP_NEW_FLOWS_PER_SOURCE_MAX: usize = 500;
/// Time from a flow's first datagram to a whole ClientHello.
pub const UDP_SNIFF_DEADLINE_MS: u64 = 3_000;
/// Datagrams, and their bytes, that one flow holds until it is decided.
pub const UDP_HELD_DATAGRAMS_MAX: usize = 16;
/// See [`UDP_HELD_DATAGRAMS_MAX`].
pub const UDP_HELD_BYTES_MAX: usize = 32 * 1024;
/// Time for which a decided flow is remembered after its last datagram that was read.
pub const UDP_FLOW_SECONDS: u64 = 60;
/// Time that a process which ends gives the ClientHellos of which it has read the beginning.
pub const UDP_FAREWELL_MS: u64 = 1_000;
/// Time that the next one waits for it before it reads beside it: more than the farewell takes.
pub const UDP_TURN_PATIENCE_MS: u64 = 5_000;
const _: () = assert!(UDP_FAREWELL_MS < UDP_TURN_PATIENCE_MS && UDP_FAREWELL_MS < UDP_SNIFF_DEADLINE_MS);
/// Answers to one refused flow: the first may be lost, and a client that goes on does not listen.
pub const UDP_ANSWERS_PER_FLOW_MAX: usize = 3;
/// Answers that one shard sends in a second.
pub const UDP_ANSWERS_PER_SECOND_MAX: u32 = 1_000;

/// Longest head of a request to the explicit proxy listener.
pub const CONNECT_HEAD_BYTES_MAX: usize = 16 * 1024;
/// Longest header of the PROXY protocol's version 1, its end included (`doc/proxy-protocol.txt` section 2.1).
pub const PROXY_LINE_BYTES_MAX: usize = 107;
/// Longest header of version 2. The addresses and what senders tell in TLVs are a few hundred bytes, with a client's whole
/// certificate two thousand; the field could say 65,535.
pub const PROXY_HEADER_BYTES_MAX: usize = 4 * 1024;
/// Longest unique id in it (`doc/proxy-protocol.txt` section 2.2.5).
pub const PROXY_UNIQUE_ID_BYTES_MAX: usize = 128;
/// Longest `Basic` credentials, as they stand in the header.
pub const CREDENTIALS_BYTES_MAX: usize = 2 * 1024;
/// Longest name of a user or group.
pub const USER_NAME_BYTES_MAX: usize = 128;
/// Longest file of users.
pub const USERS_FILE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Groups of one user.
pub const USER_GROUPS_MAX: usize = 64;
/// Threads that verify passwords; each needs the memory that a hash asks for while it works.
pub const AUTH_WORKERS: usize = 2;
/// Passwords that wait to be verified; beyond, a client is asked to come back.
pub const AUTH_QUEUE_MAX: usize = 256;
/// Memory that a user's hash may ask for (Argon2's `m`, in KiB), and rounds (`t`), and lanes (`p`).
pub const AUTH_HASH_KIB_MAX: u32 = 256 * 1024;
/// See [`AUTH_HASH_KIB_MAX`].
pub const AUTH_HASH_ROUNDS_MAX: u32 = 16;
/// See [`AUTH_HASH_KIB_MAX`].
pub const AUTH_HASH_LANES_MAX: u32 = 16;
/// Verified credentials that one shard remembers.
pub const AUTH_CACHE_ENTRIES_MAX: usize = 8_192;
/// Time for which they are not verified again.
pub const AUTH_CACHE_SECONDS: u64 = 300;
/// Wrong passwords from one source (an IPv6 source is its /64) before no more are verified, on each shard.
pub const AUTH_FAILURES_MAX: u32 = 20;
/// Time after which a source's wrong passwords are forgotten.
pub const AUTH_FAILURE_SECONDS: u64 = 60;
/// Sources whose wrong passwords one shard counts.
pub const AUTH_SOURCES_MAX: usize = 4_096;
/// Time that a client waits for its password to be verified.
pub const AUTH_DEADLINE_MS: u64 = 10_000;
/// Longest HTTP/1.1 head in either direction of an inspected flow.
pub const HTTP1_HEAD_BYTES_MAX: usize = 64 * 1024;
/// Most header fields in one HTTP/1.1 head.
pub const HTTP1_FIELDS_MAX: usize = 100;
/// Longest single header field of an HTTP/1.1 request.
pub const HTTP1_FIELD_BYTES_MAX: usize = 16 * 1024;
/// Longest line that announces a chunk, extensions included.
pub const HTTP1_CHUNK_LINE_BYTES_MAX: usize = 4 * 1024;
/// Longest trailer section that is read (request trailers are dropped).
pub const HTTP1_TRAILER_BYTES_MAX: usize = 16 * 1024;
/// Options in the `Connection` fields of one request.
pub const HTTP1_CONNECTION_OPTIONS_MAX: usize = 16;
/// Requests on one connection that wait for their answer before no more are read.
pub const HTTP1_PIPELINE_MAX: usize = 64;
/// Interim answers (1xx) to one request.
pub const HTTP1_INTERIM_MAX: usize = 32;
/// Most fields in one HTTP/2 header block, each crumb of `cookie` counted (RFC 9113 section 8.2.3).
pub const HTTP2_FIELDS_MAX: usize = 128;
/// Most decoded bytes of one HTTP/2 header block: names and values, with 32 for each field (RFC 9113 section 6.5.2).
pub const HTTP2_HEADER_LIST_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of an HPACK integer behind its prefix: 28 bits, where no length or index of an honest block has more than 17.
pub const HTTP2_INTEGER_OCTETS_MAX: usize = 4;
/// Changes of the HPACK table's size at the start of a block (RFC 7541 section 4.2).
pub const HTTP2_SIZE_UPDATES_MAX: usize = 2;
/// The HPACK table's size before SETTINGS say otherwise (RFC 9113 section 6.5.2).
pub const HTTP2_TABLE_BYTES_INITIAL: usize = 4 * 1024;
/// Largest HPACK table. Four of them (two directions, each read and perhaps written) cost an HTTP/2 connection about 600 KiB.
pub const HTTP2_TABLE_BYTES_MAX: usize = 64 * 1024;
/// Bytes that one HTTP/2 header block may enter into the HPACK table, most of which then replace each other. The block can ask
/// for a copy of an entry with two bytes.
pub const HTTP2_TABLE_CHURN_BYTES_MAX: usize = 1024 * 1024;
/// Longest frame of HTTP/2: neither side is told of a larger bound than the default (RFC 9113 section 6.5.2).
pub const HTTP2_FRAME_BYTES_MAX: usize = 16 * 1024;
/// Longest header block, over all its frames, compressed.
pub const HTTP2_HEADER_BLOCK_BYTES_MAX: usize = 64 * 1024;
/// CONTINUATION frames of one header block.
pub const HTTP2_CONTINUATIONS_MAX: usize = 20;
/// Streams of one connection that are open at once, about 400 bytes each.
pub const HTTP2_STREAMS_MAX: usize = 256;
/// Closed streams that are remembered, for frames that were under way.
pub const HTTP2_STREAMS_RECENT_MAX: usize = 512;
/// Stream number from which on a connection is drained: numbers end at 2^31 - 1.
pub const HTTP2_STREAM_DRAIN_FROM: u32 = 0x7fff_0000;
/// Entries of one SETTINGS frame.
pub const HTTP2_SETTINGS_MAX: usize = 64;
/// SETTINGS frames of one side that wait for their acknowledgement.
pub const HTTP2_SETTINGS_PENDING_MAX: usize = 16;
/// Streams that a client may have reset, or made reset, before their answer began; each whole answer forgives one.
pub const HTTP2_RESETS_MAX: usize = 50;
/// Frames of one side that move nothing on, without one that does.
pub const HTTP2_IDLE_FRAMES_MAX: usize = 1_000;
/// How many such frames one is worth that moves something on.
pub const HTTP2_IDLE_FRAMES_FORGIVEN: usize = 64;
/// Room for an answer below which its reader keeps the origin waiting. Readers that are served grant more, long before.
pub const HTTP2_ROOM_BYTES_MIN: u32 = 1024;
/// Bytes of content that have moved on when a stalled connection gets another stall deadline; a whole answer counts for as
/// many. With the default deadline, less than 55 bytes a second are a stall.
pub const HTTP2_STALL_BYTES: u64 = 16 * 1024;
/// Frames of the editor's own that wait for their turn.
pub const HTTP2_TRANSMIT_FRAMES_MAX: usize = 1_024;
/// Bytes of a request path that an audit event keeps.
pub const AUDIT_PATH_BYTES_MAX: usize = 1024;
/// Bytes of a `User-Agent` product, or of a vendor's request id, that an audit event keeps.
pub const AUDIT_TOKEN_BYTES_MAX: usize = 128;
/// Bytes of a response body that are searched for a denial signature.
pub const DENIAL_SCAN_BYTES_MAX: usize = 64 * 1024;

/// Longest configured header value.
pub const HEADER_VALUE_BYTES_MAX: usize = 8 * 1024;
/// Longest policy document.
pub const POLICY_DOCUMENT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Findings about one policy document that are shown; the rest is counted.
pub const POLICY_FINDINGS_MAX: usize = 1_000;
/// Restrictions in a policy.
pub const POLICY_RESTRICTIONS_MAX: usize = 1_024;
/// Profiles in a policy.
pub const POLICY_PROFILES_MAX: usize = 256;
/// Assignments in a policy: they are tried one after the other for each flow.
pub const POLICY_ASSIGNMENTS_MAX: usize = 1_024;
/// Host rules of all `[[engine]]` sections: they are tried one after the other for each inspected flow.
pub const POLICY_ENGINE_HOSTS_MAX: usize = 1_024;
/// Rules of `[[connect]]`: they are tried one after the other for each CONNECT to a port that is not open to all.
pub const POLICY_CONNECT_RULES_MAX: usize = 256;
/// Sources of all `[[site]]` sections of a policy together, and of all `[[user]]` sections.
pub const POLICY_NAMED_NETWORKS_MAX: usize = 65_536;
/// Groups of `[[pac.group]]`.
pub const POLICY_PAC_GROUPS_MAX: usize = 64;
/// Bypasses for pinned clients in a policy.
pub const POLICY_BYPASSES_MAX: usize = 256;
/// Exceptions in a policy: those of a host are tried one after the other for each flow to it.
pub const POLICY_EXCEPTIONS_MAX: usize = 256;
/// Longest time for which a bypass passes a client that has refused the minted leaf.
pub const BYPASS_SECONDS_MAX: u32 = 7 * 86_400;
/// Clients that a process passes at the same time because they have refused the minted leaf; beyond, they stay refused.
pub const PINNED_CLIENTS_MAX: usize = 4_096;
/// Outer names of Encrypted ClientHello in a policy: the issuer is constrained to them too.
pub const POLICY_ECH_NAMES_MAX: usize = 64;
/// Host patterns that all restrictions of a policy inspect together.
pub const POLICY_INSPECTED_HOSTS_MAX: usize = 4_096;
/// Host rules with a wildcard inside a label: each costs a look when its literal part occurs in a name.
pub const POLICY_INNER_WILDCARDS_MAX: usize = 4_096;

/// Time from accept to the end of a PROXY protocol header: a balancer sends it at once.
pub const PROXY_HEADER_DEADLINE_MS: u64 = 5_000;
/// Time from accept to the end of the proxy request head.
pub const CONNECT_HEAD_DEADLINE_MS: u64 = 10_000;
/// Time from accept (or from the 200 to a CONNECT) to a whole ClientHello; absolute, not per read.
pub const SNIFF_DEADLINE_MS: u64 = 10_000;
/// Time to connect to one address of an upstream.
pub const DIAL_DEADLINE_MS: u64 = 5_000;
/// Addresses of one name that are tried.
pub const DIAL_ADDRESSES_MAX: usize = 4;
/// Time for one TLS handshake, each leg.
pub const HANDSHAKE_DEADLINE_MS: u64 = 10_000;
/// Time without a byte in either direction after which a flow is closed.
pub const IDLE_DEADLINE_MS: u64 = 15 * 60 * 1000;
/// Time from the first byte of an inspected request head to its end; over HTTP/2 that of the preface, of a header block and
/// of any other frame than DATA.
pub const REQUEST_HEAD_DEADLINE_MS: u64 = 30_000;
/// Time for each [`REQUEST_BODY_BYTES_MIN`] of content while an inspected request's body is due.
pub const REQUEST_BODY_DEADLINE_MS: u64 = 60_000;
/// Content of an inspected connection's requests that must come in that time, unless a body ends: with the default, less than
/// 273 bytes a second are too slow.
pub const REQUEST_BODY_BYTES_MIN: u64 = 16 * 1024;
/// Time that one side of an inspected flow may keep the other waiting in the middle of something: it does not read, or
/// grants no room, or does not end a frame.
pub const STALL_DEADLINE_MS: u64 = 5 * 60 * 1000;
/// Time that one direction may stay open without a byte after the other has ended.
pub const HALF_CLOSE_DEADLINE_MS: u64 = 5 * 60 * 1000;
/// Time that flows get to finish when a shard drains.
pub const DRAIN_DEADLINE_MS: u64 = 30_000;
/// Time that flows stopped by a drain get to say goodbye.
pub const DRAIN_GRACE_MS: u64 = 2_000;

/// Flows that one shard holds at once.
pub const FLOWS_PER_SHARD_MAX: usize = 65_536;
/// Connections over a limit of flows to which one shard says so at the same time; with one more, it is reset without a word.
pub const REFUSALS_PER_SHARD_MAX: usize = 1_024;
/// Sources over a limit of flows of which one shard remembers that the audit was told.
pub const REFUSED_SOURCES_MAX: usize = 4_096;
/// Time between two audit events on one such source.
pub const REFUSED_REPORT_MS: u64 = 60_000;
/// Events that wait on a shard for the audit writer; more are dropped and counted.
pub const AUDIT_RING_EVENTS_MAX: usize = 16_384;
/// Audit events spooled on disk while control is away; the oldest stay, newer ones are dropped and counted.
pub const AUDIT_SPOOL_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// One file of the spool; removed when control has committed its last event.
pub const AUDIT_SEGMENT_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// One audit event as a line of the spool; a longer one is dropped and counted.
pub const AUDIT_EVENT_BYTES_MAX: usize = 512 * 1024;
/// Audit events in one message to control. As many as mostly fit into its bytes: each message is one commit and two syncs.
pub const AUDIT_BATCH_EVENTS_MAX: usize = 1_500;
/// Audit events in one message to control, as lines of the spool.
pub const AUDIT_BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Messages that wait in one shard's mailbox.
pub const MAILBOX_MESSAGES_MAX: usize = 16;
/// Time that all shards get to adopt a snapshot before control is told that they did not.
pub const INSTALL_DEADLINE_MS: u64 = 10_000;
/// Name of a data plane in its certificate (X.520 allows a common name no more).
pub const NODE_NAME_BYTES_MAX: usize = 64;
/// A node's request for a certificate.
pub const NODE_REQUEST_BYTES_MAX: usize = 4_096;
/// Life of a node's certificate. It is renewed over the link once a third of it is over, so a node that was cut off for two
/// months still gets back.
pub const NODE_CERTIFICATE_LIFE_SECONDS: i64 = 90 * 86_400;
/// See [`NODE_CERTIFICATE_LIFE_SECONDS`].
pub const NODE_CERTIFICATE_RENEWAL_SECONDS: i64 = NODE_CERTIFICATE_LIFE_SECONDS / 3;
/// Life of a control's certificate on the link. Its key is in memory alone; another pair is made once half of it is over.
pub const CONTROL_CERTIFICATE_LIFE_SECONDS: i64 = 30 * 86_400;
/// Longest life of a token by which a node joins.
pub const JOIN_TOKEN_SECONDS_MAX: u64 = 7 * 86_400;
/// TLS handshakes on the link at once, each of some 20 KB. Once half of these places are taken, patience is short.
pub const LINK_HANDSHAKES_MAX: usize = 256;
/// From accept to the end of the TLS handshake on the link.
pub const LINK_HANDSHAKE_DEADLINE_MS: u64 = 5_000;
/// The same while many are at it.
pub const LINK_HANDSHAKE_DEADLINE_BUSY_MS: u64 = 1_000;
/// Connections at once without a certificate, each of some 40 KB: nodes that join.
pub const LINK_GUESTS_MAX: usize = 32;
/// From the end of the handshake to the end of such a connection.
pub const LINK_GUEST_DEADLINE_MS: u64 = 10_000;
/// Longest message of somebody without a certificate.
pub const LINK_GUEST_MESSAGE_BYTES_MAX: usize = 8_192;
/// Connections of nodes at once.
pub const LINK_NODES_MAX: usize = 8_192;
/// Authorities of the link that a node believes: the one that signs, the one before, and the next.
pub const LINK_AUTHORITIES_MAX: usize = 3;
/// Connections, and sessions, of the link under one name; beyond, the oldest goes. A data plane has one, while it turns back
/// to a control that it prefers two, and each that drains beside it one more.
pub const LINK_CONNECTIONS_PER_NODE_MAX: usize = 16;
/// Controls that one data plane knows.
pub const LINK_CONTROLS_MAX: usize = 16;
/// First and longest pause before control is dialled again.
pub const LINK_BACKOFF_MS_MIN: u64 = 100;
/// See [`LINK_BACKOFF_MS_MIN`].
pub const LINK_BACKOFF_MS_MAX: u64 = 5_000;
/// Seconds between two messages to a collector of metrics, at least.
pub const METRICS_PUSH_SECONDS_MIN: u64 = 5;
/// Audit events kept by control's store; beyond, the oldest are removed. About 0.9 KB each.
pub const AUDIT_STORE_EVENTS_MAX: u64 = 10_000_000;
/// Minted leaves kept by one shard.
pub const LEAF_CACHE_ENTRIES_MAX: usize = 4_096;
/// Names kept by one shard's DNS cache.
pub const RESOLVE_CACHE_ENTRIES_MAX: usize = 8_192;
/// Leaves that one shard orders in one second unless it is told another number; past it, new names are refused until the
/// next.
pub const LEAF_MINTS_PER_SECOND_MAX: usize = 2_000;
/// Leaves that one signer signs in one second; past it, it answers that it is busy. One processor signs some 30,000.
pub const SIGNER_MINTS_PER_SECOND_MAX: u32 = 8_000;
/// Requests that wait for one signer's answer, and again as many that wait to be sent to it; more are refused at once.
pub const SIGNER_REQUESTS_MAX: usize = 256;
/// Time that a flow waits for its leaf; without one by then it is refused.
pub const SIGNER_DEADLINE_MS: u64 = 900;
/// Time without an answer after which a signer is taken for stuck, and another is started in its place.
pub const SIGNER_STUCK_MS: u64 = 3_000;
/// First and longest pause before another signer is started.
pub const SIGNER_BACKOFF_MS_MIN: u64 = 10;
/// See [`SIGNER_BACKOFF_MS_MIN`].
pub const SIGNER_BACKOFF_MS_MAX: u64 = 2_000;
/// Issuers that a signer keeps: the one in force, and those before it for handshakes that have begun.
pub const SIGNER_ISSUERS_MAX: usize = 4;
/// One message to a signer: an issuer's certificate with all the names that it may have, and its sealed key.
pub const SIGNER_MESSAGE_BYTES_MAX: usize = 320 * 1024;
/// How much earlier than now a certificate of ours begins, for clients whose clock is slow.
pub const CERTIFICATE_BACKDATE_SECONDS: i64 = 24 * 3_600;
/// Life of a minted leaf.
pub const LEAF_LIFE_SECONDS: i64 = 7 * 86_400;
/// Time for which a minted leaf is given to new connections.
pub const LEAF_USE_SECONDS_MAX: i64 = 86_400;
/// Life of an issuer; it is renewed at half of it.
pub const ISSUER_LIFE_SECONDS: i64 = 30 * 86_400;
/// Life of a root.
pub const ROOT_LIFE_SECONDS: i64 = 3_650 * 86_400;
/// Both roots are served for this long before the next one signs: the time that device management gets to bring it to
/// every client.
pub const ROOT_OVERLAP_SECONDS: i64 = 14 * 86_400;
/// A key seals session tickets for this long.
pub const TICKET_KEY_SECONDS: i64 = 12 * 3_600;
/// A session ticket is good for this long, and so is its key after it has sealed the last one.
pub const TICKET_LIFE_SECONDS: i64 = 12 * 3_600;
/// Ticket keys that a data plane holds: those of the fleet (before, now, next), its own, and those of a control before.
pub const TICKET_KEYS_MAX: usize = 16;
/// Between two looks at the files of upstream roots.
pub const UPSTREAM_ROOTS_LOOK_MS: u64 = 2_000;
/// Most subtrees that an issuer may be permitted; each costs about 20 bytes in every full downstream handshake.
pub const ISSUER_PERMITTED_NAMES_MAX: usize = 1_024;
/// Names that one shard asks for at the same time.
pub const RESOLVE_IN_FLIGHT_MAX: usize = 1_024;
/// Addresses of one name that are kept.
pub const RESOLVE_ADDRESSES_MAX: usize = 16;
/// Addresses of inspected hosts that a process remembers.
pub const CONNECTOR_ADDRESSES_MAX: usize = 16_384;
/// Time for which an address of an inspected host is remembered after it was last seen in DNS.
pub const CONNECTOR_ADDRESS_SECONDS: u64 = 3_600;
/// Inspected hosts whose addresses are looked up ahead of their use.
pub const RESOLVE_AHEAD_NAMES_MAX: usize = 1_024;
/// Of them, those asked for at the same time.
pub const RESOLVE_AHEAD_IN_FLIGHT_MAX: usize = 8;
/// Time between two such rounds.
pub const RESOLVE_AHEAD_SECONDS: u64 = 300;
/// Pairs of source and name, each told once an hour by each shard, of flows to addresses of inspected hosts.
pub const REPORTED_FLOWS_MAX: usize = 4_096;
/// Time for one answer from DNS, retries included.
pub const RESOLVE_DEADLINE_MS: u64 = 5_000;
/// Time after which an expired answer is used rather than waiting longer for a fresh one (RFC 8767 section 5).
pub const RESOLVE_STALE_AFTER_MS: u64 = 1_800;
/// Shortest and longest time that an answer is kept, whatever its TTL says.
pub const RESOLVE_TTL_SECONDS_MIN: u64 = 1;
/// See [`RESOLVE_TTL_SECONDS_MIN`].
pub const RESOLVE_TTL_SECONDS_MAX: u64 = 300;
/// Longest time that "no such name" is kept.
pub const RESOLVE_NEGATIVE_TTL_SECONDS_MAX: u64 = 30;
/// Time after a failed look-up before the same name is asked again.
pub const RESOLVE_RETRY_SECONDS: u64 = 5;
/// Time past its TTL for which an answer is used while DNS fails.
pub const RESOLVE_STALE_SECONDS_MAX: u64 = 3_600;
/// Largest certificate chain accepted from an upstream.
pub const UPSTREAM_CHAIN_BYTES_MAX: usize = 256 * 1024;
/// Capacity asked for each pipe of a spliced flow.
pub const PIPE_BYTES: usize = 256 * 1024;
/// The same for the first ones of each shard: a quarter less CPU for the flows that have them, and most of the time there are
/// no more. As many pages for all would end what the system gives a user.
pub const LARGE_PIPE_BYTES: usize = 1024 * 1024;
/// Pipes of that size of all shards, one for each at least: half of what the kernel gives a user who asked for no more.
pub const LARGE_PIPES: usize = 32;
/// Pipes that one shard keeps for its busy flows; a flow that finds none copies.
pub const PIPES_PER_SHARD_MAX: usize = 512;

/// Most certificates in a chain accepted from an upstream.
pub const UPSTREAM_CHAIN_CERTIFICATES_MAX: usize = 16;
/// Steps of the search for a path through such a chain, by the names in it: about 30 us each.
pub const UPSTREAM_CHAIN_STEPS_MAX: u64 = 256;
/// Time for which a verified upstream chain is not verified again when the same chain comes for the same name.
pub const VERIFIED_CHAIN_SECONDS_MAX: u64 = 300;
/// Verified upstream chains that one shard remembers.
pub const VERIFIED_CHAINS_MAX: usize = 1_024;
/// Origins of which one shard remembers what they chose and proved, about 300 bytes each.
pub const ORIGIN_MEMORY_ENTRIES_MAX: usize = 1_024;
/// Time for which it does: a leaf may be given out for a proof that is this old, but no request goes on with one.
pub const ORIGIN_MEMORY_SECONDS: u64 = 300;
/// Upstreams whose session tickets one shard keeps.
pub const UPSTREAM_SESSIONS_MAX: usize = 1_024;
/// Plaintext or ciphertext that one direction of an inspected flow may hold before it stops reading.
pub const INSPECT_BUFFER_BYTES_MAX: usize = 128 * 1024;

// A guess is never older than a proof that is trusted without another look.
const _: () = assert!(ORIGIN_MEMORY_SECONDS <= VERIFIED_CHAIN_SECONDS_MAX);
const _: () = assert!(POLICY_INSPECTED_HOSTS_MAX < u16::MAX as usize);
const _: () = assert!(HTTP1_FIELD_BYTES_MAX <= HTTP1_HEAD_BYTES_MAX);
const _: () = assert!(HEADER_VALUE_BYTES_MAX <= HTTP1_FIELD_BYTES_MAX);
const _: () = assert!(HTTP1_HEAD_BYTES_MAX <= INSPECT_BUFFER_BYTES_MAX);
const _: () = assert!(HTTP2_HEADER_BLOCK_BYTES_MAX + 2 * HTTP2_FRAME_BYTES_MAX < INSPECT_BUFFER_BYTES_MAX);
const _: () = assert!(HTTP2_TABLE_BYTES_INITIAL <= HTTP2_TABLE_BYTES_MAX);
const _: () = assert!(HTTP2_TABLE_BYTES_MAX + HTTP2_HEADER_LIST_BYTES_MAX <= HTTP2_TABLE_CHURN_BYTES_MAX);
const _: () =
    assert!(HTTP2_HEADER_LIST_BYTES_MAX < 1 << (7 * HTTP2_INTEGER_OCTETS_MAX) && HTTP2_INTEGER_OCTETS_MAX <= 4);
const _: () = assert!(PROXY_LINE_BYTES_MAX < PROXY_HEADER_BYTES_MAX && PROXY_HEADER_BYTES_MAX <= u16::MAX as usize);
const _: () = assert!(CLIENT_HELLO_BYTES_MAX >= TLS_RECORD_BYTES_MAX);
const _: () = assert!(CLIENT_HELLO_INPUT_BYTES_MAX > CLIENT_HELLO_BYTES_MAX);
const _: () = assert!(HOST_LABEL_BYTES_MAX <= HOST_NAME_BYTES_MAX);
// A leaf in use keeps days of life, and an issuer outlives the leaves that it signs in the first half of its life.
const _: () = assert!(LEAF_USE_SECONDS_MAX < LEAF_LIFE_SECONDS);
const _: () = assert!(LEAF_LIFE_SECONDS <= ISSUER_LIFE_SECONDS / 2);
const _: () = assert!(ISSUER_LIFE_SECONDS < ROOT_LIFE_SECONDS);
const _: () = assert!(NODE_CERTIFICATE_LIFE_SECONDS < ROOT_LIFE_SECONDS);
const _: () = assert!(CONTROL_CERTIFICATE_LIFE_SECONDS < ROOT_LIFE_SECONDS);
const _: () = assert!(NODE_REQUEST_BYTES_MAX < LINK_GUEST_MESSAGE_BYTES_MAX);
const _: () = assert!(LINK_HANDSHAKE_DEADLINE_BUSY_MS < LINK_HANDSHAKE_DEADLINE_MS);
const _: () = assert!(LINK_CONNECTIONS_PER_NODE_MAX < LINK_NODES_MAX);
// A flow whose leaf does not come is refused within a second, and long before its signer is given up.
const _: () = assert!(SIGNER_DEADLINE_MS < 1_000 && SIGNER_DEADLINE_MS < SIGNER_STUCK_MS);
const _: () = assert!(ISSUER_PERMITTED_NAMES_MAX * (HOST_NAME_BYTES_MAX + 8) + 8_192 <= SIGNER_MESSAGE_BYTES_MAX);
const _: () = assert!(ROOT_OVERLAP_SECONDS < ROOT_LIFE_SECONDS / 2);
// RFC 8446 section 4.6.1: a ticket lives for seven days at most.
const _: () = assert!(TICKET_LIFE_SECONDS <= 7 * 86_400);
const _: () = assert!(AUDIT_EVENT_BYTES_MAX <= AUDIT_BATCH_BYTES_MAX);
const _: () = assert!(AUDIT_BATCH_BYTES_MAX as u64 <= AUDIT_SEGMENT_BYTES_MAX);
const _: () = assert!(AUDIT_SEGMENT_BYTES_MAX * 8 <= AUDIT_SPOOL_BYTES_MAX);
// An address does not lapse between two rounds, even when one fails.
const _: () = assert!(2 * RESOLVE_AHEAD_SECONDS < CONNECTOR_ADDRESS_SECONDS);
const _: () = assert!(RESOLVE_STALE_AFTER_MS < RESOLVE_DEADLINE_MS);
