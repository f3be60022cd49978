//! Mail servers of a usual machine, each with a configuration and ports of its own, and their certificate.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tempfile::TempDir;

/// A certificate for localhost that nobody else trusts.
pub struct Certificate {
    folder: TempDir,
}

impl Certificate {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args([
                "-nodes", "-days", "2", "-subj", "/CN=test", "-keyout", "k.pem", "-out", "c.pem",
            ])
            .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            // A server's certificate that is its own authority is not accepted as one.
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .current_dir(folder.path())
            .output()
            .expect("openssl");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self { folder }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn pem(&self) -> Vec<u8> {
        fs::read(self.file("c.pem")).unwrap()
    }
}

/// Postfix with a configuration of its own, which discards or bounces as told.
pub struct Postfix {
    folder: TempDir,
    /// SMTP; STARTTLS is required.
    pub port: u16,
    /// Submission: STARTTLS and a login are required.
    pub submission: u16,
    /// The same with TLS from the first byte.
    pub implicit: u16,
}

impl Postfix {
    /// Free ports are asked for first, since Postfix can't say which ones it got. `logins` is the socket of
    /// who knows the passwords.
    pub fn start(certificate: &Certificate, logins: Option<&Path>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let held = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [port, submission, implicit] =
            held.each_ref().map(|held| held.local_addr().unwrap().port());
        drop(held);
        let at = folder.path().display();
        let (cert, key) = (certificate.file("c.pem"), certificate.file("k.pem"));
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {at}/queue\ndata_directory = {at}/data\n\
             maillog_file = {at}/log\nmaillog_file_prefixes = {at}\nmyhostname = mx.example.org\n\
             mynetworks = 127.0.0.0/8\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n\
             mydestination =\nlocal_recipient_maps =\nalias_maps =\nalias_database =\n\
             relay_domains = example.org\nrelay_transport = discard\ndefault_transport = discard\n\
             smtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\nsmtpd_tls_security_level = encrypt\n\
             smtpd_recipient_restrictions = check_recipient_access inline:{{ {{gone@example.org = 550 no such user}} {{full@example.org = 452 mailbox full}} }}, permit_mynetworks, reject\n\
             header_checks = regexp:{at}/headers\n",
            cert.display(),
            key.display(),
        );
        let login = logins.map_or(String::new(), |socket| {
            format!(
                "-o smtpd_sasl_auth_enable=yes -o smtpd_sasl_type=dovecot -o smtpd_sasl_path={} \
                 -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject",
                socket.display()
            )
        });
        // Name, type, private, unprivileged, chroot, wakeup, most processes, command.
        let master = format!(
            "127.0.0.1:{port} inet n - n - - smtpd\n\
             127.0.0.1:{submission} inet n - n - - smtpd -o smtpd_tls_auth_only=yes {login}\n\
             127.0.0.1:{implicit} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes {login}\n\
             pickup unix n - n 60 1 pickup\n\
             cleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n\
             rewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\n\
             defer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\n\
             discard unix - - n - - discard\ntlsmgr unix - - n 1000? 1 tlsmgr\n\
             anvil unix - - n - 1 anvil\nscache unix - - n - 1 scache\n\
             proxymap unix - - n - - proxymap\nerror unix - - n - - error\n\
             retry unix - - n - - error\nflush unix n - n 1000? 0 flush\n\
             postlog unix-dgram n - n - 1 postlogd\n"
        );
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("main.cf", &main);
        write("master.cf", &master);
        // Puts the headers that matter into the log.
        write("headers", "/^(Message-ID|Subject|Auto-Submitted):/ WARN\n");
        fs::create_dir(folder.path().join("queue")).unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        let own = Command::new("chown").arg("postfix").arg(folder.path().join("data")).status();
        assert!(own.expect("chown").success());
        // The daemons run as `postfix` and must get to their queue.
        let open = Command::new("chmod")
            .arg("755")
            .args([folder.path(), certificate.folder.path()])
            .status();
        assert!(open.expect("chmod").success());
        let postfix = Self { folder, port, submission, implicit };
        postfix.command("start");
        postfix
    }

    fn command(&self, word: &str) {
        let done = Command::new("postfix")
            .arg("-c")
            .arg(self.folder.path())
            .arg(word)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .expect("postfix");
        assert!(done.status.success(), "postfix {word}: {}", String::from_utf8_lossy(&done.stderr));
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.command("stop");
    }
}

/// Dovecot as the one who knows the passwords: `bot` with `s3cret`.
pub struct Dovecot {
    folder: TempDir,
}

impl Dovecot {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        let settings = format!(
            "base_dir = {at}/run\nstate_dir = {at}/state\nlog_path = {at}/log\nprotocols =\nssl = no\n\
             auth_mechanisms = plain login\nauth_failure_delay = 0\n\
             passdb {{\n  driver = passwd-file\n  args = scheme=PLAIN {at}/users\n}}\n\
             userdb {{\n  driver = static\n  args = uid=nobody gid=nogroup home=/nonexistent\n}}\n\
             service auth {{\n  unix_listener {at}/login {{\n    mode = 0666\n  }}\n}}\n"
        );
        fs::write(folder.path().join("dovecot.conf"), settings).unwrap();
        fs::write(folder.path().join("users"), "bot:s3cret\n").unwrap();
        let open = Command::new("chmod").arg("755").arg(folder.path()).status();
        assert!(open.expect("chmod").success());
        let dovecot = Self { folder };
        dovecot.command(&[]);
        dovecot
    }

    /// Where it says who may log in. It is there once the program has started.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("login")
    }

    fn command(&self, words: &[&str]) {
        let mut dovecot = Command::new("dovecot");
        dovecot.arg("-c").arg(self.folder.path().join("dovecot.conf")).args(words);
        // What it starts keeps its output open, so that nobody may wait for the end of that.
        let done =
            dovecot.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        assert!(done.expect("dovecot").success(), "dovecot {words:?}: {}", log());
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        self.command(&["stop"]);
    }
}
