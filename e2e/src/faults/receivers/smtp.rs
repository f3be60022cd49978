//! The receiver of mail: as much of SMTP as a sender of one message needs.

use super::{Content, Inner, Manner};
use std::{io, sync::Arc};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

pub(super) async fn listen(inner: Arc<Inner>, listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let inner = Arc::clone(&inner);
        tokio::spawn(async move {
            // A connection that breaks off has nothing more to say.
            let _ = serve(&inner, BufReader::new(stream)).await;
        });
    }
}

async fn serve(inner: &Inner, mut stream: BufReader<TcpStream>) -> io::Result<()> {
    if inner.manner() == Manner::Drops {
        return Ok(());
    }
    if inner.manner() == Manner::Hangs {
        inner.hang().await;
        return Ok(());
    }
    say(&mut stream, "220 fake ESMTP").await?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let command = line.split([' ', '\r', ':']).next().unwrap_or_default().to_ascii_uppercase();
        match (command.as_str(), inner.manner()) {
            ("EHLO", _) => say(&mut stream, "250-fake\r\n250-8BITMIME\r\n250 SMTPUTF8").await?,
            ("HELO" | "RSET" | "NOOP", _) => say(&mut stream, "250 fine").await?,
            ("MAIL", Manner::Throttles) => say(&mut stream, "450 4.7.1 slower").await?,
            ("RCPT", Manner::Denies) => say(&mut stream, "530 5.7.0 who are you?").await?,
            ("MAIL" | "RCPT", _) => say(&mut stream, "250 fine").await?,
            ("DATA", _) => {
                say(&mut stream, "354 go on").await?;
                let text = message(&mut stream).await?;
                match inner.manner() {
                    Manner::Fails => say(&mut stream, "451 4.3.0 not now").await?,
                    Manner::Hangs => return inner_hang(inner).await,
                    Manner::Breaks => {
                        inner.keep(mail(&text));
                        return stream.write_all(b"25").await;
                    }
                    _ => {
                        let place = inner.keep(mail(&text));
                        say(&mut stream, "250 kept").await?;
                        inner.answered(place);
                    }
                }
            }
            ("QUIT", _) => return say(&mut stream, "221 bye").await,
            _ => say(&mut stream, "502 what?").await?,
        }
    }
}

async fn inner_hang(inner: &Inner) -> io::Result<()> {
    inner.hang().await;
    Ok(())
}

async fn say(stream: &mut BufReader<TcpStream>, text: &str) -> io::Result<()> {
    stream.write_all(format!("{text}\r\n").as_bytes()).await?;
    stream.flush().await
}

/// Everything up to the line with a dot alone.
async fn message(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut text = String::new();
    loop {
        let mut line = Vec::new();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line == b".\r\n" {
            return Ok(text);
        }
        text += &String::from_utf8_lossy(&line).replace("\r\n", "\n");
    }
}

fn mail(text: &str) -> Content {
    let mail = crate::Mail::new(text);
    let body = mail.body();
    let mut lines = body.lines();
    // Where something is attached, the text is the first part, behind a header of its own.
    if body.starts_with("--") {
        lines.by_ref().find(|line| line.is_empty());
    }
    Content::Mail {
        id: mail.header("Message-ID"),
        text: lines.next().unwrap_or_default().to_owned(),
    }
}
