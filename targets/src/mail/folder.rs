//! Mails as files, for a demo: what would go over the wire, one `.eml` file each.

use super::Message;
use delivery::{SendError, Sent};
use std::path::Path;

/// Writes the mail under its Message-ID, so that a repeat replaces the same file.
pub async fn write(folder: &Path, message: &Message) -> Result<Sent, SendError> {
    let name: String = message
        .id
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-._@".contains(c) { c } else { '_' })
        .collect();
    let (file, part) = (folder.join(format!("{name}.eml")), folder.join(format!("{name}.part")));
    let put = async {
        tokio::fs::create_dir_all(folder).await?;
        tokio::fs::write(&part, message.bytes()).await?;
        tokio::fs::rename(&part, &file).await
    };
    match put.await {
        Ok(()) => {
            tracing::info!("a mail was written to {}", file.display());
            Ok(Sent::Whole)
        }
        Err(error) => Err(SendError::Transient(format!("{}: {error}", file.display()))),
    }
}
