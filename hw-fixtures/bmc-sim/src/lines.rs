//! Reading lines from a stream nobody here controls.
//! Must never keep more than the limit in memory, whatever the other side sends.

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// The next line without its end; None at the end of the stream. A line longer than `limit` bytes is an error.
pub async fn next<R: AsyncBufRead + Unpin>(reader: &mut R, limit: u64) -> std::io::Result<Option<Vec<u8>>> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut line = Vec::new();
    loop {
        let chunk = reader.fill_buf().await?;
        if chunk.is_empty() {
            return Ok((!line.is_empty()).then_some(line));
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
        if line.len().saturating_add(part.len()) > limit {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "line too long"));
        }
        line.extend_from_slice(part);
        let used = part.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn lines_end_and_too_long_ones_are_refused() {
        let mut input: &[u8] = b"one\ntwo";
        assert_eq!(super::next(&mut input, 8).await.unwrap().unwrap(), b"one");
        assert_eq!(super::next(&mut input, 8).await.unwrap().unwrap(), b"two");
        assert!(super::next(&mut input, 8).await.unwrap().is_none());
        let mut input: &[u8] = b"far too long\n";
        assert!(super::next(&mut input, 8).await.is_err());
    }
}
