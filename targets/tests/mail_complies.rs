//! The mail target passes the test that every target passes, against an SMTP server that can be
//! told how to answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use delivery::compliance::{Answer, Kit, Peer, Running, Seen};
use serde_json::json;
use support::{about, mail_spec, quick};
use targets::mail::{Mail, Secrets};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// Serves one connection. `None` when the client is gone.
async fn serve(stream: TcpStream, peer: Peer) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.write_all(b"220 test\r\n").await.ok()?;
    loop {
        line.clear();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let word = line.split_whitespace().next().unwrap_or_default().to_uppercase();
        let reply: &[u8] = match word.as_str() {
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await.ok()?;
                let mut mail = String::new();
                while !mail.ends_with("\r\n.\r\n") {
                    if stream.read_line(&mut mail).await.ok()? == 0 {
                        return None;
                    }
                }
                match peer.answer(&[seen(&mail)]) {
                    Answer::Take => b"250 taken\r\n",
                    Answer::Later => b"451 later\r\n",
                    Answer::Never => b"554 never\r\n",
                    Answer::Hang | Answer::TakeAndHang => return std::future::pending().await,
                }
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await.ok()?;
                return None;
            }
            _ => b"250 ok\r\n",
        };
        stream.write_all(reply).await.ok()?;
    }
}

/// The subject holds builder and number.
fn seen(mail: &str) -> Seen {
    let header = |name: &str| mail.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let (builder, number) = header("Subject: ").split_once(' ').unwrap();
    Seen {
        builder: builder.to_owned(),
        number: number.parse().unwrap(),
        identity: header("Message-ID: ").to_owned(),
    }
}

#[tokio::test]
async fn the_mail_target_complies() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let peer = Peer::default();
    let served = peer.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, served.clone()));
        }
    });
    let start = move |reader, metrics, cancel| {
        let spec = mail_spec(&json!({
            "relayhost": "127.0.0.1",
            "smtpPort": port,
            "messageFormatter": { "body": "x", "subject": "{{ builder.name }} {{ number }}" },
        }));
        let mail = Mail::new("ci/mail", &spec, &Secrets::default(), about().fixed()).unwrap();
        let options = delivery::Options { backoff: quick(), ..delivery::Options::new("mail") };
        Box::pin(delivery::run(reader, mail, options, metrics, cancel)) as Running
    };
    Kit { peer, start: Box::new(start), one_line: false }.check().await;
}
