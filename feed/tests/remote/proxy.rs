//! A TCP proxy that cuts, stalls and swallows, as a bad network does and a real one can't be made
//! to do on time.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// What becomes of bytes on connections that are open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    /// They arrive.
    #[default]
    Arrive,
    /// They wait.
    Stall,
    /// They wait on connections that waited before; on new ones they arrive.
    StallOld,
    /// Questions arrive, answers don't.
    Swallow,
}

/// See the module.
pub struct Proxy {
    pub address: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    control: Arc<watch::Sender<(u64, Fate)>>,
}

impl Proxy {
    /// Before the server at `target`.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let control = Arc::new(watch::Sender::new((0, Fate::Arrive)));
        let see = Arc::clone(&control);
        let target = Arc::new(Mutex::new(target));
        let to = Arc::clone(&target);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let target = *to.lock().unwrap();
                let Ok(far) = TcpStream::connect(target).await else { continue };
                let ((near_in, near_out), (far_in, far_out)) =
                    (near.into_split(), far.into_split());
                tokio::spawn(pump(near_in, far_out, see.subscribe(), false));
                tokio::spawn(pump(far_in, near_out, see.subscribe(), true));
            }
        });
        Self { address, target, control }
    }

    /// Connections that are made from now on go to another server.
    pub fn lead_to(&self, target: SocketAddr) {
        *self.target.lock().unwrap() = target;
    }

    /// Cuts every open connection in the middle of whatever it carries.
    pub fn cut(&self) {
        self.control.send_modify(|(cuts, fate)| (*cuts, *fate) = (*cuts + 1, Fate::Arrive));
    }

    /// Leaves open connections as they are, and lets bytes of those arrive that are made later.
    pub fn let_new_ones_through(&self) {
        self.control.send_modify(|(_, now)| *now = Fate::StallOld);
    }

    /// From now on, until the next cut.
    pub fn set(&self, fate: Fate) {
        self.control.send_modify(|(_, now)| *now = fate);
    }
}

/// Carries bytes one way. Connections that are made while bytes stall are treated as all others.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut control: watch::Receiver<(u64, Fate)>,
    answers: bool,
) {
    let (first, born) = *control.borrow_and_update();
    let mut bytes = vec![0; 16 << 10];
    loop {
        let (cuts, fate) = *control.borrow_and_update();
        if cuts != first {
            return;
        }
        let stalls = match fate {
            Fate::Stall => true,
            Fate::StallOld => born != Fate::StallOld,
            Fate::Arrive | Fate::Swallow => false,
        };
        tokio::select! {
            changed = control.changed() => if changed.is_err() { return },
            read = from.read(&mut bytes), if !stalls => {
                let Ok(read @ 1..) = read else { return };
                if (answers && fate == Fate::Swallow) || to.write_all(&bytes[..read]).await.is_ok() {
                    continue;
                }
                return;
            }
        }
    }
}
