import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App.js";
import { Fault } from "./ui/Fault.js";
import { language } from "./words/words.js";
import "./styles.css";

document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <Fault>
      <App />
    </Fault>
  </StrictMode>,
);
