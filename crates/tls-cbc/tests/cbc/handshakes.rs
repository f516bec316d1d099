use std::io::{Read, Write};
use std::sync::Arc;

use causeway_tls_cbc::{is_cbc, provider_with_cbc};
use rustls::crypto::ring::default_provider;
use rustls::{
    AlertDescription, CipherSuite, ClientConfig, ClientConnection, ConnectionCommon, Error,
    HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection, SideData,
};

use crate::support::{IDENTITIES, cbc_alone, client_config, data, server_config, with_cbc};

/// Two ends and no network.
struct Pair {
    client: ClientConnection,
    server: ServerConnection,
}

impl Pair {
    fn new(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> Self {
        let name = "localhost".try_into().unwrap();
        Self {
            client: ClientConnection::new(client.clone(), name).unwrap(),
            server: ServerConnection::new(server.clone()).unwrap(),
        }
    }

    fn shake_hands(mut self) -> Result<Self, Error> {
        while self.client.is_handshaking() || self.server.is_handshaking() {
            let moved = carry(&mut self.client, &mut self.server)?
                + carry(&mut self.server, &mut self.client)?;
            assert_ne!(moved, 0, "a handshake that stands still");
        }
        carry(&mut self.server, &mut self.client)?;
        Ok(self)
    }

    fn suite(&self) -> CipherSuite {
        let suites = [
            self.client.negotiated_cipher_suite().unwrap().suite(),
            self.server.negotiated_cipher_suite().unwrap().suite(),
        ];
        assert_eq!(suites[0], suites[1]);
        suites[0]
    }
}

/// Brings what `from` wants to write to `to`; how many octets that were.
fn carry<A: SideData, B: SideData>(
    from: &mut ConnectionCommon<A>,
    to: &mut ConnectionCommon<B>,
) -> Result<usize, Error> {
    let mut wire = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut wire).unwrap();
    }
    deliver(&wire, to)?;
    Ok(wire.len())
}

fn deliver<B: SideData>(mut wire: &[u8], to: &mut ConnectionCommon<B>) -> Result<(), Error> {
    while !wire.is_empty() {
        to.read_tls(&mut wire).unwrap();
        to.process_new_packets()?;
    }
    Ok(())
}

/// Sends `sent` in portions that fit into the buffers, and reads it at the other end.
fn send<A: SideData, B: SideData>(
    sent: &[u8],
    from: &mut ConnectionCommon<A>,
    to: &mut ConnectionCommon<B>,
) {
    let mut received = Vec::new();
    for portion in sent.chunks(20_000) {
        from.writer().write_all(portion).unwrap();
        carry(from, to).unwrap();
        // Ends with "would block", for lack of more.
        to.reader().read_to_end(&mut received).unwrap_err();
    }
    assert!(received == sent, "{} octets sent, {} received", sent.len(), received.len());
}

#[test]
fn data_passes_both_ways_with_either_key() {
    for identity in IDENTITIES.iter() {
        let client = Arc::new(client_config(cbc_alone(), identity));
        let server = Arc::new(server_config(with_cbc(), identity));
        let mut pair = Pair::new(&client, &server).shake_hands().unwrap();
        assert_eq!(pair.suite(), identity.suite);
        assert_eq!(pair.client.protocol_version(), Some(ProtocolVersion::TLSv1_2));
        assert!(pair.server.peer_certificates().is_some(), "the client shows its certificate");
        for len in [0, 1, 15, 16, 17, 16384, 16385, 1 << 20] {
            send(&data(len), &mut pair.client, &mut pair.server);
            send(&data(len), &mut pair.server, &mut pair.client);
        }
        pair.client.send_close_notify();
        carry(&mut pair.client, &mut pair.server).unwrap();
        assert_eq!(pair.server.reader().read(&mut [0]).unwrap(), 0, "a clean end");
    }
}

#[test]
fn a_session_is_resumed() {
    let identity = &IDENTITIES[0];
    let mut client = client_config(cbc_alone(), identity);
    client.resumption = rustls::client::Resumption::in_memory_sessions(4);
    let client = Arc::new(client);
    let server = Arc::new(server_config(with_cbc(), identity));
    let first = Pair::new(&client, &server).shake_hands().unwrap();
    assert_eq!(first.client.handshake_kind(), Some(HandshakeKind::Full));
    let mut second = Pair::new(&client, &server).shake_hands().unwrap();
    assert_eq!(second.client.handshake_kind(), Some(HandshakeKind::Resumed));
    assert_eq!(second.suite(), identity.suite);
    send(&data(100), &mut second.client, &mut second.server);
    send(&data(100), &mut second.server, &mut second.client);
}

#[test]
fn two_peers_with_better_suites_use_these() {
    for identity in IDENTITIES.iter() {
        let server = Arc::new(server_config(with_cbc(), identity));
        let client = Arc::new(client_config(with_cbc(), identity));
        let pair = Pair::new(&client, &server).shake_hands().unwrap();
        assert_eq!(pair.client.protocol_version(), Some(ProtocolVersion::TLSv1_3));

        // A client of TLS 1.2, even when it would have CBC first.
        let mut provider = with_cbc();
        provider.cipher_suites.retain(|suite| suite.tls13().is_none());
        provider.cipher_suites.reverse();
        assert!(is_cbc(provider.cipher_suites[0].suite()));
        let client = Arc::new(client_config(provider, identity));
        let pair = Pair::new(&client, &server).shake_hands().unwrap();
        assert_eq!(pair.client.protocol_version(), Some(ProtocolVersion::TLSv1_2));
        assert!(!is_cbc(pair.suite()), "{:?}", pair.suite());
    }
}

#[test]
fn without_the_switch_there_is_no_cbc() {
    for identity in IDENTITIES.iter() {
        let alone = Arc::new(client_config(cbc_alone(), identity));
        let server = Arc::new(server_config(default_provider(), identity));
        assert!(Pair::new(&alone, &server).shake_hands().is_err());
        let client = Arc::new(client_config(default_provider(), identity));
        let alone = Arc::new(server_config(cbc_alone(), identity));
        assert!(Pair::new(&client, &alone).shake_hands().is_err());
    }
}

#[test]
fn the_suites_come_last_and_once() {
    let base = default_provider().cipher_suites;
    let provider = provider_with_cbc(provider_with_cbc(default_provider()));
    let (before, ours) = provider.cipher_suites.split_at(base.len());
    assert_eq!(before, base);
    assert!(before.iter().all(|suite| !is_cbc(suite.suite())));
    let ours: Vec<u16> = ours.iter().map(|suite| suite.suite().into()).collect();
    assert_eq!(ours, [0xC024, 0xC028]);
    assert!(!is_cbc(CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384));
}

#[test]
fn a_record_changed_on_its_way_ends_the_connection_with_bad_record_mac() {
    let identity = &IDENTITIES[1];
    let client = Arc::new(client_config(cbc_alone(), identity));
    let server = Arc::new(server_config(with_cbc(), identity));
    let header_and_record = 5 + 16 + 64 + 16;
    for at in 5..header_and_record {
        let mut pair = Pair::new(&client, &server).shake_hands().unwrap();
        pair.client.writer().write_all(&data(20)).unwrap();
        let mut wire = Vec::new();
        pair.client.write_tls(&mut wire).unwrap();
        assert_eq!(wire.len(), header_and_record);
        wire[at] ^= 1;
        assert_eq!(deliver(&wire, &mut pair.server), Err(Error::DecryptError), "octet {at}");
        let said = carry(&mut pair.server, &mut pair.client);
        assert_eq!(said, Err(Error::AlertReceived(AlertDescription::BadRecordMac)));
    }
}

#[test]
fn a_record_sent_twice_is_refused() {
    let identity = &IDENTITIES[1];
    let client = Arc::new(client_config(cbc_alone(), identity));
    let server = Arc::new(server_config(with_cbc(), identity));
    let mut pair = Pair::new(&client, &server).shake_hands().unwrap();
    pair.client.writer().write_all(b"once").unwrap();
    let mut wire = Vec::new();
    pair.client.write_tls(&mut wire).unwrap();
    assert_eq!(deliver(&wire, &mut pair.server), Ok(()));
    assert_eq!(deliver(&wire, &mut pair.server), Err(Error::DecryptError));
}
