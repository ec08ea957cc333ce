//! How far a machine's boot has come, read from its serial console.
//! Must never read more of a log than a bounded piece at a time.

use std::path::Path;
use std::time::SystemTime;

use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use crate::limits;

/// Text on the console and the state it proves, in the order of a boot.
const MARKS: [(&[u8], &str); 6] = [
    (b"SeaBIOS", "SystemHardwareInitializationComplete"),
    (b"BdsDxe", "SystemHardwareInitializationComplete"),
    (b"iPXE", "SystemHardwareInitializationComplete"),
    (b"Linux version", "OSBootStarted"),
    (b"Run /init", "OSBootStarted"),
    (b"login:", "OSRunning"),
];
/// Bytes kept from one piece to the next, so that a mark cut in two is found.
const OVERLAP: u64 = 32;

/// Where the boot has come to.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    offset: u64,
    rank: usize,
    told: Option<(&'static str, SystemTime)>,
}

impl Progress {
    /// A new boot begins. The log may be emptied by it or not: reading goes on where it stood.
    pub fn restart(&mut self) {
        self.rank = 0;
        self.told = Some(("PrimaryProcessorInitializationStarted", SystemTime::now()));
    }

    /// The log was emptied.
    pub fn rewind(&mut self) {
        self.offset = 0;
    }

    /// State and the time it was seen.
    pub fn told(&self) -> Option<(&'static str, SystemTime)> {
        self.told
    }

    /// True if this one began later than the other was told: what the other read belongs to an earlier boot.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        self.told.map(|(_, at)| at) > other.told.map(|(_, at)| at)
    }

    /// Looks at what the console said since.
    pub async fn advanced(mut self, log: &Path) -> Self {
        if let Ok((offset, text)) = read_on(log, self.offset).await {
            self.offset = offset;
            for (rank, (mark, state)) in MARKS.iter().enumerate() {
                if rank + 1 > self.rank && text.windows(mark.len()).any(|window| window == *mark) {
                    self.rank = rank + 1;
                    self.told = Some((state, SystemTime::now()));
                }
            }
        }
        self
    }
}

async fn read_on(log: &Path, offset: u64) -> std::io::Result<(u64, Vec<u8>)> {
    let mut file = tokio::fs::File::open(log).await?;
    let length = file.metadata().await?.len();
    // A shorter log was emptied by a new start.
    let offset = if length < offset { 0 } else { offset };
    let from = offset.saturating_sub(OVERLAP).max(length.saturating_sub(limits::SERIAL_SCAN_MAX));
    file.seek(std::io::SeekFrom::Start(from)).await?;
    let mut text = Vec::new();
    file.take(limits::SERIAL_SCAN_MAX).read_to_end(&mut text).await?;
    let read = u64::try_from(text.len()).unwrap_or(0);
    Ok((from + read, text))
}
