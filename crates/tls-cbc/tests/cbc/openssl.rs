use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::ops::DerefMut;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use rustls::{CipherSuite, ClientConnection, ConnectionCommon, ServerConnection, SideData, Stream};

use crate::support::{
    IDENTITIES, Identity, KEY, MAC_KEY, client_config, data, sealed, server_config, with_cbc,
};

/// Octets that pass each way.
const SIZES: [usize; 7] = [0, 1, 15, 16, 17, 16384, 1 << 20];

/// So long the other side may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether the `openssl` command, version 3 or later, is there; said aloud when not. In CI it must be.
fn has_openssl() -> bool {
    let output = Command::new("openssl").arg("version").output();
    let found = output.is_ok_and(|output| {
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.split(' ').nth(1).is_some_and(|version| version.starts_with(['3', '4']))
    });
    if !found {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "no openssl 3 command");
        eprintln!("SKIPPED: no openssl 3 command");
    }
    found
}

/// A running `openssl`, ended with the test.
struct Openssl {
    child: Running,
    /// Gives standard input back when all is written: at its end openssl would hang up.
    feeder: JoinHandle<ChildStdin>,
}

impl Openssl {
    /// Runs it with `arguments`; `input` is what it will send.
    fn run(folder: &Path, arguments: &[&str], input: Vec<u8>) -> Self {
        let mut child = Command::new("openssl")
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let feeder = spawn(move || {
            // Should it have gone, what it has not sent will be missed.
            let _ = stdin.write_all(&input);
            stdin
        });
        Self { child: Running(child), feeder }
    }

    /// What it makes of its input, when that has ended.
    fn output(mut self) -> Vec<u8> {
        let mut stdout = self.child.0.stdout.take().unwrap();
        let feeder = spawn(move || drop(self.feeder.join().unwrap()));
        let mut output = Vec::new();
        stdout.read_to_end(&mut output).unwrap();
        feeder.join().unwrap();
        assert!(self.child.0.wait().unwrap().success());
        output
    }

    /// What it has received, when it ends.
    fn received(mut self) -> Vec<u8> {
        let mut received = Vec::new();
        self.child.0.stdout.take().unwrap().read_to_end(&mut received).unwrap();
        drop(self.feeder.join().unwrap());
        self.child.0.wait().unwrap();
        received
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder with certificate and key for `openssl`.
fn folder(identity: &Identity) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("cert.pem"), &identity.certificate_pem).unwrap();
    std::fs::write(folder.path().join("key.pem"), &identity.key_pem).unwrap();
    folder
}

/// What `openssl s_client` and `s_server` are both told: this suite or none, and nothing but data on standard output.
fn arguments(identity: &Identity) -> Vec<String> {
    let suite = format!("{}:@SECLEVEL=0", identity.openssl_suite);
    let arguments =
        ["-tls1_2", "-cipher", &suite, "-cert", "cert.pem", "-key", "key.pem", "-quiet"];
    arguments.map(str::to_owned).to_vec()
}

/// Different data in each direction.
fn to_us(len: usize) -> Vec<u8> {
    data(len).into_iter().rev().map(|octet| octet ^ 0x55).collect()
}

/// Reads all that openssl sends, then sends as much, and closes; the suite that was used.
fn exchange<S: SideData>(
    connection: &mut impl DerefMut<Target = ConnectionCommon<S>>,
    mut socket: TcpStream,
    len: usize,
) -> CipherSuite {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    connection.complete_io(&mut socket).unwrap();
    let mut received = vec![0; len];
    let mut stream = Stream::new(connection, &mut socket);
    stream.read_exact(&mut received).unwrap();
    assert!(received == to_us(len), "{len} octets from openssl");
    stream.write_all(&data(len)).unwrap();
    connection.send_close_notify();
    while connection.wants_write() {
        connection.write_tls(&mut socket).unwrap();
    }
    connection.negotiated_cipher_suite().unwrap().suite()
}

/// As soon as someone listens there.
fn connect(port: u16) -> TcpStream {
    let start = Instant::now();
    loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Ok(socket) => return socket,
            Err(error) => assert!(start.elapsed() < PATIENCE, "no s_server: {error}"),
        }
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_client_speaks_with_openssl_s_server() {
    if !has_openssl() {
        return;
    }
    for identity in IDENTITIES.iter() {
        let folder = folder(identity);
        let config = Arc::new(client_config(with_cbc(), identity));
        for len in SIZES {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            drop(listener);
            let accept = format!("127.0.0.1:{port}");
            let shared = arguments(identity);
            let mut arguments = vec!["s_server", "-accept", &accept, "-naccept", "1"];
            // Blocking, it may wait for data of ours before it sends all of its own.
            arguments.extend(["-Verify", "1", "-nbio"]);
            arguments.extend(shared.iter().map(String::as_str));
            let server = Openssl::run(folder.path(), &arguments, to_us(len));

            let name = "localhost".try_into().unwrap();
            let mut client = ClientConnection::new(config.clone(), name).unwrap();
            assert_eq!(exchange(&mut client, connect(port), len), identity.suite);
            assert!(server.received() == data(len), "{len} octets to openssl");
        }
    }
}

#[test]
fn a_server_speaks_with_openssl_s_client() {
    if !has_openssl() {
        return;
    }
    for identity in IDENTITIES.iter() {
        let folder = folder(identity);
        let config = Arc::new(server_config(with_cbc(), identity));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        for len in SIZES {
            let shared = arguments(identity);
            let mut arguments = vec!["s_client", "-connect", &address];
            arguments.extend(shared.iter().map(String::as_str));
            let client = Openssl::run(folder.path(), &arguments, to_us(len));

            let mut server = ServerConnection::new(config.clone()).unwrap();
            let (socket, _) = listener.accept().unwrap();
            assert_eq!(exchange(&mut server, socket, len), identity.suite);
            assert!(server.peer_certificates().is_some());
            assert!(client.received() == data(len), "{len} octets to openssl");
        }
    }
}

#[test]
fn openssl_enc_and_dgst_open_what_is_written() {
    if !has_openssl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (key, mac_key) = (hex::encode(KEY), format!("hexkey:{}", hex::encode(MAC_KEY)));
    for len in [0, 1, 15, 16, 17, 1000, 16384] {
        let record = sealed(0x0102_0304_0506_0708, &data(len));
        let (iv, fragment) = record.split_at(16);
        let iv = hex::encode(iv);
        let decrypt = ["enc", "-d", "-aes-256-cbc", "-nopad", "-K", &key, "-iv", &iv];
        let plain = Openssl::run(folder.path(), &decrypt, fragment.to_vec()).output();

        let mut signed = vec![1, 2, 3, 4, 5, 6, 7, 8, 23, 3, 3, (len >> 8) as u8, len as u8];
        signed.extend(data(len));
        let sign = ["dgst", "-sha384", "-mac", "HMAC", "-macopt", &mac_key, "-binary"];
        let mac = Openssl::run(folder.path(), &sign, signed).output();

        let mut expected = [data(len), mac].concat();
        let padding = 15 - expected.len() % 16;
        expected.resize(expected.len() + padding + 1, padding as u8);
        assert!(plain == expected, "{len} octets");
    }
}
