//! An appliance: the control protocol by the SSH library's client, sessions carried to OpenSSH's daemon.

use super::{Server, key, public, soon, text};
use drawbridge_wire::{Decoder, Line, PROTOCOL, SUBSYSTEM, ToAppliance, ToServer, Token, encode, ticket};
use russh::client::{self, Msg};
use russh::keys::{PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{Channel, ChannelMsg};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_rustls::client::TlsStream;

/// Takes any host key.
pub struct Trusting;

impl client::Handler for Trusting {
    type Error = russh::Error;

    // TLS has shown already that it is the server.
    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

/// TLS with the server, whose own certificate is the root.
pub async fn tls(server: &Server, protocol: &[u8]) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(server.tls).await.unwrap();
    tls_over(server, stream, protocol).await
}

/// The same over a connection that is there already.
pub async fn tls_over(server: &Server, stream: TcpStream, protocol: &[u8]) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(server.path("data/tls.crt")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    soon("TLS", tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream)).await.unwrap()
}

/// One appliance, with its keys.
#[derive(Clone)]
pub struct Appliance {
    pub serial: String,
    pub name: String,
    pub login: PathBuf,
    pub host: PathBuf,
}

/// Its control connection.
pub struct Control {
    _handle: client::Handle<Trusting>,
    channel: Channel<Msg>,
    decoder: Decoder<ToAppliance>,
}

impl Appliance {
    /// One with keys of its own, whose daemon lets the key `anna` in.
    pub async fn new(server: &Server, serial: &str, name: &str) -> Self {
        let folder = server.path(serial);
        fs::create_dir(&folder).unwrap();
        let (login, host) = (key(&folder, "login").await, key(&folder, "host").await);
        if nix::unistd::geteuid().is_root() {
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let settings = format!(
            "HostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n",
            host.display(),
            public(&server.path("anna")).display(),
        );
        fs::write(folder.join("sshd.conf"), settings).unwrap();
        Self { serial: serial.to_owned(), name: name.to_owned(), login, host }
    }

    /// Logs in and opens a channel.
    pub async fn channel(&self, server: &Server) -> (client::Handle<Trusting>, Channel<Msg>) {
        let stream = tls(server, drawbridge_wire::CONTROL).await;
        let config = Arc::new(client::Config::default());
        let mut handle = soon("SSH", client::connect_stream(config, stream, Trusting)).await.unwrap();
        let login = PrivateKey::read_openssh_file(&self.login).unwrap();
        let login = PrivateKeyWithHashAlg::new(Arc::new(login), None);
        let result = soon("the login", handle.authenticate_publickey(&self.serial, login)).await.unwrap();
        assert!(result.success());
        let channel = soon("a channel", handle.channel_open_session()).await.unwrap();
        (handle, channel)
    }

    /// Logs in and says hello.
    pub async fn connect(&self, server: &Server) -> Control {
        let (handle, mut channel) = self.channel(server).await;
        channel.request_subsystem(true, SUBSYSTEM).await.unwrap();
        loop {
            match soon("the subsystem", channel.wait()).await.unwrap() {
                ChannelMsg::Success => break,
                ChannelMsg::Failure => panic!("no control service"),
                _ => {}
            }
        }
        let mut control = Control { _handle: handle, channel, decoder: Decoder::default() };
        let host_key = fs::read_to_string(public(&self.host)).unwrap();
        let host_key: Vec<&str> = host_key.split_whitespace().take(2).collect();
        control
            .send(&ToServer::Hello {
                protocol: PROTOCOL,
                version: Line::of("test"),
                serial: Line::of(&self.serial),
                name: Line::of(&self.name),
                host_key: Line::of(&host_key.join(" ")),
            })
            .await;
        control
    }

    /// Connects with a token, and is let in.
    pub async fn enrol(&self, server: &Server) -> Control {
        let token = server.operate(&["enrol"]).await;
        let mut control = self.connect(server).await;
        assert_eq!(control.next().await, Some(ToAppliance::Unenrolled));
        control.send(&ToServer::Enrol { token: Line::of(token.trim()) }).await;
        assert!(matches!(control.next().await, Some(ToAppliance::Welcome { .. })));
        control
    }

    /// Carries each session to OpenSSH's daemon, from now on.
    pub fn serve(&self, server: &Server, mut control: Control) -> tokio::task::JoinHandle<()> {
        let folder = self.host.parent().unwrap().to_owned();
        let (address, home) = (server.tls, server.home.path().to_owned());
        tokio::spawn(async move {
            while let Some(message) = control.next_ever().await {
                if let ToAppliance::Dial { token, .. } = message {
                    let (home, settings) = (home.clone(), folder.join("sshd.conf"));
                    tokio::spawn(async move { carry(address, &home, &token, settings).await });
                }
            }
        })
    }
}

async fn carry(address: std::net::SocketAddr, home: &std::path::Path, token: &Token, settings: PathBuf) {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(home.join("data/tls.crt")).unwrap()).unwrap();
    let mut config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    config.alpn_protocols = vec![drawbridge_wire::SESSION.to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    ticket::present(&mut stream, token).await.unwrap();
    // As inetd starts it: the session is its stdin and stdout.
    let mut daemon = Command::new("/usr/sbin/sshd")
        .args(["-i", "-e", "-f"])
        .arg(settings)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("openssh-server");
    let (stdin, stdout) = (daemon.stdin.take().unwrap(), daemon.stdout.take().unwrap());
    let mut daemon_end = tokio::io::join(stdout, stdin);
    let _ = tokio::io::copy_bidirectional(&mut stream, &mut daemon_end).await;
}

impl Control {
    pub async fn send(&mut self, message: &ToServer) {
        // A server that has just gone is seen by who reads.
        let _ = self.channel.data_bytes(encode(message).unwrap()).await;
    }

    /// The next message that is no ping; none when the connection has ended.
    pub async fn next(&mut self) -> Option<ToAppliance> {
        soon("a message from the server", self.next_ever()).await
    }

    pub async fn next_ever(&mut self) -> Option<ToAppliance> {
        loop {
            match self.decoder.next_message().unwrap() {
                Some(ToAppliance::Ping(number)) => self.send(&ToServer::Pong(number)).await,
                Some(message) => return Some(message),
                None => match self.channel.wait().await? {
                    ChannelMsg::Data { data } => self.decoder.push(&data),
                    ChannelMsg::Eof | ChannelMsg::Close => return None,
                    _ => {}
                },
            }
        }
    }

    /// The words of a refusal.
    pub async fn refusal(&mut self) -> String {
        match self.next().await {
            Some(ToAppliance::Refused { why, .. }) => why.as_str().to_owned(),
            other => panic!("{other:?} is no refusal"),
        }
    }
}

/// The private key's public half as it stands in `known_hosts`.
pub fn host_key(appliance: &Appliance) -> String {
    text(&fs::read(public(&appliance.host)).unwrap()).split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}
