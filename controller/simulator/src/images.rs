//! What machines fetch in a simulated world: kernels, initrds and iPXE of plausible sizes, with nothing in them. Must never be read for what it
//! says.

use async_trait::async_trait;
use boot::shelf::{Reader, Shelf};
use bytes::Bytes;
use std::io;
use std::path::Path;

/// Bytes of a kernel, an initrd, and an iPXE: small, since nothing but their transfer is tried.
const KERNEL: usize = 30_000;
const INITRD: usize = 20_000;
const IPXE: usize = 10_000;

/// See the module.
pub struct Images;

struct Image {
    at: usize,
    length: usize,
}

fn found(path: &Path) -> io::Result<Image> {
    let length = match path.file_name().and_then(|name| name.to_str()) {
        Some("vmlinuz" | "kernel") => KERNEL,
        Some("server.cpio" | "initrd") => INITRD,
        Some("undionly.kpxe" | "snponly.efi") => IPXE,
        _ => return Err(io::ErrorKind::NotFound.into()),
    };
    Ok(Image { at: 0, length })
}

#[async_trait]
impl Shelf for Images {
    async fn length(&self, path: &Path) -> io::Result<u64> {
        found(path).map(|image| image.length as u64)
    }

    async fn open(&self, path: &Path) -> io::Result<Box<dyn Reader>> {
        Ok(Box::new(found(path)?))
    }
}

#[async_trait]
impl Reader for Image {
    fn length(&self) -> u64 {
        self.length as u64
    }

    async fn seek(&mut self, to: u64) -> io::Result<()> {
        self.at = usize::try_from(to).unwrap_or(usize::MAX).min(self.length);
        Ok(())
    }

    async fn read(&mut self, most: usize) -> io::Result<Bytes> {
        let piece = most.min(self.length - self.at);
        self.at += piece;
        Ok(Bytes::from(vec![0; piece]))
    }
}
