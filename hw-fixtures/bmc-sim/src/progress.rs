//! How far a machine's boot has come, read from its serial console.
//! Must never read more of a log than a bounded piece at a time.

use std::path::Path;

use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use world::bmc::Stage;

use crate::limits;

/// Text on the console and the stage it proves, in the order of a boot.
const MARKS: [(&[u8], Stage); 6] = [
    (b"SeaBIOS", Stage::HardwareInitialized),
    (b"BdsDxe", Stage::HardwareInitialized),
    (b"iPXE", Stage::HardwareInitialized),
    (b"Linux version", Stage::SystemStarted),
    (b"Run /init", Stage::SystemStarted),
    (b"login:", Stage::SystemRuns),
];
/// Bytes kept from one piece to the next, so that a mark cut in two is found.
const OVERLAP: u64 = 32;

/// Where the boot has come to.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    offset: u64,
    /// Marks passed in this boot.
    rank: usize,
    /// Which boot this is.
    boot: u64,
}

impl Progress {
    /// A new boot begins. The log may be emptied by it or not: reading goes on where it stood.
    pub fn restart(&mut self) {
        self.rank = 0;
        self.boot += 1;
    }

    /// The log was emptied.
    pub fn rewind(&mut self) {
        self.offset = 0;
    }

    /// Takes over what a look has found that began `before`; the stage. Nothing, if another boot has begun meanwhile.
    pub fn follow(&mut self, before: &Self, after: Self) -> Option<Stage> {
        if self.boot != before.boot {
            return None;
        }
        // of two looks at once the one that saw more counts
        if after.rank >= self.rank {
            *self = after;
        }
        let last = self.rank.checked_sub(1)?;
        MARKS.get(last).map(|(_, stage)| *stage)
    }

    /// Looks at what the console said since.
    pub async fn advanced(mut self, log: &Path) -> Self {
        if let Ok((offset, text)) = read_on(log, self.offset).await {
            self.offset = offset;
            for (rank, (mark, _)) in MARKS.iter().enumerate() {
                if rank + 1 > self.rank && text.windows(mark.len()).any(|window| window == *mark) {
                    self.rank = rank + 1;
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
