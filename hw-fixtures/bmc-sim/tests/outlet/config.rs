//! The configuration: what is taken, what is refused, and that no secret is ever shown.

use outlet::{OutletConfig, open};

fn text(folder: &std::path::Path) -> String {
    let file = |name: &str, secret: &str| {
        let path = folder.join(name);
        std::fs::write(&path, secret).unwrap();
        format!("file:{}", path.display())
    };
    serde_json::json!({
        "pdu": "pdu1", "outlets": [1, 2, 12], "serial": "5A1234E00001",
        "driver": {"snmp": {"address": "127.0.0.1:16161", "table": "apc-rpdu2", "access": {"v3": {
            "user": "understudy", "authentication": "sha256", "authentication-password": file("authentication", "first secret\n"),
            "privacy": "aes128", "privacy-password": file("privacy", "second secret"),
        }}}},
    })
    .to_string()
}

#[tokio::test]
async fn it_is_taken_with_both_kinds_of_access_and_shows_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let v3 = text(folder.path());
    let clear = {
        let mut clear: serde_json::Value = serde_json::from_str(&v3).unwrap();
        let community = format!("file:{}", folder.path().join("authentication").display());
        clear["driver"]["snmp"]["access"] = serde_json::json!({"v2c-in-clear": {"community": community}});
        clear.to_string()
    };
    for text in [v3, clear] {
        let config: OutletConfig = serde_json::from_str(&text).unwrap();
        assert!(open(&config).is_ok());
        assert!(!format!("{config:?}").contains("secret\""));
    }
}

#[tokio::test]
async fn what_is_misspelt_missing_or_weak_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let sound = text(folder.path());
    for (from, to) in [
        ("\"outlets\"", "\"outlet\""),
        ("\"serial\"", "\"serials\""),
        ("\"user\"", "\"users\""),
        ("apc-rpdu2", "apc"),
        ("sha256", "md5"),
        ("aes128", "des"),
        ("\"v3\"", "\"v2c\""),
        ("127.0.0.1:16161", "127.0.0.1"),
        ("file:", ""),
    ] {
        let wrong = sound.replace(from, to);
        assert_ne!(wrong, sound);
        assert!(serde_json::from_str::<OutletConfig>(&wrong).is_err(), "{to}");
    }
    for (from, to, why) in [
        ("[1,2,12]", "[]", "1 to"),
        ("[1,2,12]", "[0,1]", "numbered from 1"),
        ("5A1234E00001", "", "serial number"),
        ("5A1234E00001", " 5A", "serial number"),
        ("\"understudy\"", "\"\"", "user"),
        ("file:", "env:", "written as"),
        ("/privacy", "/nowhere", "cannot be read"),
    ] {
        let wrong = sound.replace(from, to);
        assert_ne!(wrong, sound);
        let told = open(&serde_json::from_str(&wrong).unwrap()).err().unwrap().to_string();
        assert!(told.contains(why) && told.contains("pdu1"), "{told}");
    }
    std::fs::write(folder.path().join("privacy"), "short").unwrap();
    let told = open(&serde_json::from_str(&sound).unwrap()).err().unwrap().to_string();
    assert!(told.contains("at least 8") && !told.contains("short"), "{told}");
}
