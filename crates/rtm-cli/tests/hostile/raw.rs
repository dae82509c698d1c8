//! Sockets that do what no client would.

use std::net::{Ipv4Addr, SocketAddr};

use rtm_codec::{
    AppId, ClientFrame, ClientWire, InstanceId, KeepAlive, Login, Packet, ServerFrame, UserId, Wire,
    native::SUBPROTOCOL,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::server::{APP_ID, soon};

/// A bare socket.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self { stream: soon("connecting", TcpStream::connect(address)).await.unwrap() }
    }

    /// Connects from one of two hundred addresses, so that ports do not run out.
    pub(crate) async fn connect_from(number: usize, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        let from = Ipv4Addr::new(127, 0, 0, 2 + (number % 200) as u8);
        socket.bind(SocketAddr::from((from, 0))).unwrap();
        Self { stream: soon("connecting", socket.connect(address)).await.unwrap() }
    }

    /// The WebSocket handshake, up to its end.
    pub(crate) async fn shake_hands(&mut self, wire: Wire) {
        self.stream.write_all(handshake(wire).as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon("the answer", self.stream.read_u8()).await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    }

    /// Logs in natively, and pings as often as it says: never.
    pub(crate) async fn log_in(&mut self, name: &str, keep_alive_ms: u32) {
        self.shake_hands(Wire::Native).await;
        let mut wire = ClientWire::new(Wire::Native);
        wire.encode(&ClientFrame::Login(Box::new(Login {
            app_id: AppId::new(APP_ID).unwrap(),
            user_id: Some(UserId::new(name).unwrap()),
            token: None,
            instance: InstanceId::new(format!("instance-{name}")).unwrap(),
            resume: None,
            keep_alive: KeepAlive::Client { interval_ms: keep_alive_ms },
            window: 0,
            abilities: Wire::Native.abilities(),
            gateway_session: None,
        })));
        while let Some(packet) = wire.take_packet() {
            let Packet::Binary(bytes) = packet else { panic!("the native wire is binary") };
            self.stream.write_all(&frame(0x82, &bytes)).await.unwrap();
        }
        let [_, len] = [self.read_u8().await, self.read_u8().await];
        assert!(len < 126, "a welcome is short");
        let mut bytes = vec![0; len.into()];
        soon("a welcome", self.stream.read_exact(&mut bytes)).await.unwrap();
        let mut frames = Vec::new();
        wire.decode(Packet::Binary(bytes.into()), &mut frames).unwrap();
        assert!(matches!(frames.as_slice(), [ServerFrame::Welcome(_), ..]), "{frames:?}");
    }

    /// Waits until the server has closed it.
    pub(crate) async fn closed(mut self) {
        let mut bytes = [0; 4096];
        soon("the end of a socket", async { while !matches!(self.stream.read(&mut bytes).await, Ok(0) | Err(_)) {} })
            .await;
    }

    async fn read_u8(&mut self) -> u8 {
        soon("a byte", self.stream.read_u8()).await.unwrap()
    }
}

/// A handshake as it is sent.
pub(crate) fn handshake(wire: Wire) -> String {
    let subprotocol = match wire {
        Wire::Native => format!("Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n"),
        _ => String::new(),
    };
    format!(
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{subprotocol}\r\n"
    )
}

/// A WebSocket frame of a client, masked with zeros, up to 1 MiB.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..126 => bytes.push(0x80 | len as u8),
        len @ 126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}
