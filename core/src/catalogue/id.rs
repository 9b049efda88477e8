//! The ids of the connectors: a closed set that scripts, metrics and policies name.

use serde::{Serialize, Serializer};

use crate::labelled;

labelled! {
    /// Names a connector. The build fails when a variant has no data file, or a data file no variant.
    pub enum ConnectorId {
        /// Anthropic's Claude.
        AnthropicClaude = "anthropic-claude",
        /// Asana.
        Asana = "asana",
        /// Atlassian cloud sites.
        Atlassian = "atlassian",
        /// Dropbox.
        Dropbox = "dropbox",
        /// DX.
        Dx = "dx",
        /// Gemini Code Assist.
        GeminiCodeAssist = "gemini-code-assist",
        /// GitHub Enterprise Managed Users.
        GithubEnterprise = "github-enterprise",
        /// Google Cloud organization restrictions.
        GoogleCloud = "google-cloud",
        /// Google Workspace and consumer Google accounts.
        GoogleWorkspace = "google-workspace",
        /// IBM Cloud.
        IbmCloud = "ibm-cloud",
        /// Sign-in to Microsoft consumer accounts.
        MicrosoftConsumer = "microsoft-consumer",
        /// Microsoft Entra tenant restrictions, first version.
        MicrosoftEntra = "microsoft-entra",
        /// Microsoft Entra tenant restrictions, second version.
        MicrosoftEntraV2 = "microsoft-entra-v2",
        /// Notion.
        Notion = "notion",
        /// The OpenAI API platform.
        OpenaiApi = "openai-api",
        /// OpenAI's ChatGPT.
        OpenaiChatgpt = "openai-chatgpt",
        /// Slack.
        Slack = "slack",
        /// Cisco Webex.
        Webex = "webex",
        /// YouTube.
        Youtube = "youtube",
        /// Zoho.
        Zoho = "zoho",
        /// Zoom.
        Zoom = "zoom",
    }
}

impl ConnectorId {
    /// The connector that `word` names, spelled exactly.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|id| id.label() == word)
    }
}

impl Serialize for ConnectorId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.label())
    }
}
