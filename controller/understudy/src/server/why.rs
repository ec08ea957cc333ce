//! `understudy server why`: the chain from what is seen of a server to what is done about it, as it stands now.

use crate::exit::Failure;
use crate::session::Session;
use api::view::WhyView;
use vocabulary::ServerId;

/// Tells it.
pub async fn why(session: &Session, server: &ServerId) -> Result<(), Failure> {
    let seen = session.view::<WhyView>(&format!("/v1/servers/{server}/why")).await?;
    session.show(&seen, text)
}

/// Each link is named once, before its first sentence.
fn text(view: &WhyView) -> String {
    let width = view.chain.iter().map(|link| link.link.chars().count()).max().unwrap_or(0);
    let mut before = "";
    let mut lines = Vec::new();
    for link in &view.chain {
        let name = if link.link == before { "" } else { link.link.as_str() };
        before = link.link.as_str();
        lines.push(format!("{name:width$}  {}", link.text));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::view::WhyLinkView;

    #[test]
    fn a_link_is_named_once() {
        let link = |link: &str, text: &str| WhyLinkView { link: link.into(), text: text.into() };
        let chain = vec![link("placed", "web1 is on m1"), link("seen", "its BMC said On"), link("seen", "sw1 sees it healthy")];
        let told = text(&WhyView { server: "web1".into(), chain, ladder: None });
        assert_eq!(told, "placed  web1 is on m1\nseen    its BMC said On\n        sw1 sees it healthy");
    }
}
