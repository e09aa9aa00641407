import { mount } from "svelte";
import App from "./App.svelte";
import "./tokens.css";
import "./base.css";
import "uplot/dist/uPlot.min.css";

mount(App, { target: document.body });
