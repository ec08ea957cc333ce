//! The workspace's crates and what they depend on, read from their Cargo.toml. It understands the shapes that this workspace uses.

use super::walk::Files;

/// A dependency as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    pub name: String,
    pub line: usize,
    /// for tests only
    pub dev: bool,
}

/// One crate.
#[derive(Clone, Debug)]
pub struct Crate {
    pub name: String,
    /// its folder, relative to the root
    pub folder: String,
    pub dependencies: Vec<Dependency>,
}

impl Crate {
    /// Path of its Cargo.toml.
    pub fn manifest(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }

    /// The top-level folder it lies in.
    pub fn top(&self) -> &str {
        self.folder.split('/').next().unwrap_or_default()
    }
}

/// All crates below the top level.
pub fn crates(files: &Files) -> Vec<Crate> {
    files
        .texts
        .iter()
        .filter_map(|file| {
            let folder = file.path.strip_suffix("/Cargo.toml")?;
            parse(folder, &file.text)
        })
        .collect()
}

fn parse(folder: &str, text: &str) -> Option<Crate> {
    let mut name = None;
    let mut dependencies = Vec::new();
    let mut section = String::new();
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_matches(['[', ']']).to_owned();
            // `[dependencies.name]` is a dependency by itself
            if let Some((kind, name)) = section.rsplit_once('.')
                && kind.ends_with("dependencies")
            {
                dependencies.push(Dependency {
                    name: name.to_owned(),
                    line: line_number,
                    dev: kind.ends_with("dev-dependencies"),
                });
            }
        } else if let Some((key, value)) = line.split_once('=') {
            let key = key.trim().split('.').next().unwrap_or_default().trim_matches('"');
            if section == "package" && key == "name" {
                name = Some(value.trim().trim_matches('"').to_owned());
            } else if section.ends_with("dependencies") {
                dependencies.push(Dependency {
                    name: key.to_owned(),
                    line: line_number,
                    dev: section.ends_with("dev-dependencies"),
                });
            }
        }
    }
    Some(Crate { name: name?, folder: folder.to_owned(), dependencies })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_dependency_is_seen() {
        let text = "[package]\nname = \"a\"\n[dependencies]\nserde.workspace = true # x = y\nnix = { workspace = true }\n\
                    [dev-dependencies]\nproptest.workspace = true\n[target.'cfg(unix)'.dependencies]\nlibc = \"1\"\n\
                    [dependencies.tokio]\nversion = \"1\"\n[[bin]]\nname = \"b\"\n";
        let parsed = parse("agents/a", text).unwrap();
        assert_eq!(parsed.name, "a");
        let names: Vec<(&str, bool)> = parsed.dependencies.iter().map(|d| (d.name.as_str(), d.dev)).collect();
        assert_eq!(names, [("serde", false), ("nix", false), ("proptest", true), ("libc", false), ("tokio", false)]);
        assert_eq!(parsed.dependencies[0].line, 4);
    }
}
