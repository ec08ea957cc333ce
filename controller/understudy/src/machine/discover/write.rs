//! Drafts into files. It writes new files only: what stands there is left alone, and named.

use super::view::DiscoverView;
use crate::exit::{Exit, Failure};
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use vocabulary::Fault;

/// Writes each draft as `NAME.yaml`, and notes in the view what became of it.
pub fn write(view: &mut DiscoverView, folder: &Path) -> Result<(), Failure> {
    let failed = |path: &Path, error: &std::io::Error| {
        let message = format!("{} cannot be written: {error}", path.display());
        Failure::new(Exit::No, Fault::new(64, message, "name a folder that you may write to, on a disk with space"))
    };
    // a draft of which more would have been told would stand in the way of the next search's
    let told = view.bmcs.iter_mut().filter(|bmc| !bmc.unread);
    let mut drafts = told.filter_map(|bmc| bmc.draft.as_mut()).peekable();
    if drafts.peek().is_none() {
        return Ok(());
    }
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    for draft in drafts {
        let path = folder.join(format!("{}.yaml", draft.machine));
        let shown = path.display().to_string();
        match std::fs::OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => {
                if let Err(error) = file.write_all(draft.yaml.as_bytes()) {
                    // half a draft would be taken for a known machine; if it cannot be removed either, the error says where it is
                    let _ = std::fs::remove_file(&path);
                    return Err(failed(&path, &error));
                }
                draft.file = Some(shown);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => draft.left = Some(shown),
            Err(error) => return Err(failed(&path, &error)),
        }
    }
    Ok(())
}
