// Starts `klausel lsp` for policy folders; everything else is the language server's.
const vscode = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

async function activate() {
  const [command, ...args] = vscode.workspace.getConfiguration("klausel").get("command");
  const files = { documentSelector: [{ scheme: "file", pattern: "**/*.{yaml,csv}" }] };
  client = new LanguageClient("klausel", "Klausel", { command, args }, files);
  try {
    await client.start();
  } catch (error) {
    vscode.window.showErrorMessage(
      `Klausel: ${command} cannot be started (${error.message}). Install Klausel with its extra lsp, or set klausel.command.`,
    );
  }
}

async function deactivate() {
  await client?.stop();
}

module.exports = { activate, deactivate };
